import { createServer } from 'node:http';
import { expect, it } from 'vitest';
import { createLogger } from '../../shared/log.ts';
import { close, listen } from '../../shared/server.ts';
import { type AppDeps, buildApp } from './app.ts';

it('lets a page run its own files only, make no markup of text, and be framed by nobody', async () => {
  const deps = { maxViewers: 1, log: createLogger('test', 'silent') } as AppDeps;
  const server = createServer(buildApp(deps));
  const url = `http://127.0.0.1:${await listen(server, 0, '127.0.0.1')}`;
  try {
    for (const path of ['/', '/nothing', '/api/record']) {
      const { headers } = await fetch(`${url}${path}`);
      expect(headers.get('content-security-policy')?.split(';').sort()).toEqual([
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "require-trusted-types-for 'script'",
        "script-src 'self'",
        "style-src 'self'",
        "trusted-types 'none'",
      ]);
      expect(Object.fromEntries(headers)).toMatchObject({
        'x-frame-options': 'DENY',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-opener-policy': 'same-origin',
      });
    }
  } finally {
    await close(server);
  }
});
