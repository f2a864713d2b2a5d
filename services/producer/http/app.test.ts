import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EVENT, problem, ServedApp } from './fixtures.ts';

let served: ServedApp;
beforeEach(async () => {
  served = await ServedApp.start();
});
afterEach(() => served.close());

describe('the API besides events', () => {
  it('has /health and /ready', async () => {
    const health = (await (await fetch(`${served.url}/health`)).json()) as Record<string, string>;
    expect(health).toMatchObject({ status: 'healthy', service: 'kinesis-producer' });
    expect(Date.parse(health.timestamp!)).toBeGreaterThan(0);
    const ready = await fetch(`${served.url}/ready`);
    expect([ready.status, await ready.json()]).toEqual([200, expect.objectContaining({ status: 'ready' })]);
  });

  it('answers 404 and 405 as problems', async () => {
    expect(await problem(await fetch(`${served.url}/nothing`))).toMatchObject({
      status: 404,
      code: 'not-found',
    });
    const get = await fetch(`${served.url}/send`);
    expect(get.headers.get('allow')).toBe('POST');
    expect(await problem(get)).toMatchObject({ status: 405, code: 'method-not-allowed' });
    const health = await fetch(`${served.url}/health`, { method: 'DELETE' });
    expect([health.status, health.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    for (const path of ['/send/', '/SEND']) {
      const other = await fetch(served.url + path, { method: 'POST', body: '{}' });
      expect(await problem(other)).toMatchObject({ status: 404 });
    }
  });

  it.each([
    ['POST /send', 'application/json', '{"amount":1}', 200],
    ['POST /send/batch', 'application/json', '[{"amount":1},{}]', 207],
    ['POST /send', 'application/json', '{', 400],
    ['POST /send', 'text/plain', 'x', 415],
    ['POST /health', 'application/json', '{}', 405],
    ['POST /nowhere', 'application/json', '{}', 404],
    ['POST /send%ff', 'application/json', '{}', 404],
    ['POST http://producer/send?x=y', 'application/json', '{"amount":1}', 200],
    ['POST http://a:b:c/send', 'application/json', '{}', 404],
    ['GET http://[/send', 'application/json', '', 404],
    ['HEAD /send', 'application/json', '', 405],
    ['HEAD /health', 'application/json', '', 200],
    ['OPTIONS *', 'application/json', '', 404],
    ['OPTIONS /send', 'application/json', '', 405],
    ['TRACE /send', 'application/json', '', 405],
    ['GET /openapi.json', 'application/json', '', 200],
  ])('answers %s of %s with %j safely', async (request, type, body, status) => {
    const socket = connect(served.port, '127.0.0.1');
    socket.write(
      `${request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const [head = '', answer = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n', 2);
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    for (const header of [
      "content-security-policy: default-src 'none';frame-ancestors 'none'",
      'x-content-type-options: nosniff',
      'strict-transport-security: max-age=31536000; includeSubDomains',
      'cross-origin-resource-policy: same-origin',
      'connection: close',
    ])
      expect(head.toLowerCase().split(header.toLowerCase())).toHaveLength(2);
    expect(head).toMatch(/content-type: application\/(?:problem\+)?json; charset=utf-8/i);
    expect(head).not.toMatch(/x-powered-by/i);
    if (!request.startsWith('HEAD')) {
      expect(head.toLowerCase()).toContain(`content-length: ${Buffer.byteLength(answer)}`);
      expect(() => JSON.parse(answer)).not.toThrow();
    }
  });

  it('keeps control characters of a client out of its log lines', async () => {
    served.refusal = new Error('disk\nfull\u001b[31m');
    await served.post(JSON.stringify({ ...EVENT, source: 'a\nb\u001b[31m' }));
    expect(served.logged).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(served.logged[0]!.trimEnd()).not.toMatch(/[\u0000-\u001f]/);
  });
});
