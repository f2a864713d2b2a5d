import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createAdminServer } from './admin.ts';
import { createRegistry } from './metrics.ts';
import { close, listen } from './server.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const closer of closers.splice(0)) closer();
});

async function connected(port: number, text: string) {
  const socket = connect(port, '127.0.0.1');
  closers.push(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

describe('close', () => {
  it.each([
    '',
    'GET /livez HTTP/1.1\r\nhost: x\r\n',
    'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n',
  ])('does not wait longer than it is told for a request that never ends: %j', async (text) => {
    const ok = () => ({ ok: true });
    const admin = createAdminServer({ registry: createRegistry('test'), live: ok, ready: ok });
    const seen = once(admin, 'connection');
    await connected(await listen(admin, 0, '127.0.0.1'), text);
    await seen;
    await close(admin, 50);
    expect(admin.listening).toBe(false);
  });

  it('lets a request end within that time', async () => {
    const answering = Promise.withResolvers<() => void>();
    const server = createServer((_, response) => answering.resolve(() => response.end('done')));
    const socket = await connected(await listen(server, 0, '127.0.0.1'), 'GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    const answer = await answering.promise;
    const closed = close(server, 60_000);
    answer();
    const [text] = await once(socket, 'data');
    expect(String(text)).toContain('done');
    await closed;
  });
});
