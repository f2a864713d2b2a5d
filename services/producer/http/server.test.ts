import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EVENT, ServedApp } from './fixtures.ts';

/** A slow client is found out at the next look at the connections, which is each second. */
const LIMITS = { requestTimeoutMs: 200, maxConnections: 8 };

let served: ServedApp;
beforeEach(async () => {
  served = await ServedApp.start(LIMITS);
});
afterEach(() => served.close());

function open(bytes: string): Socket {
  const socket = connect(served.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  return socket;
}

/** All that comes until the server closes the connection. */
async function received(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(socket, 'close');
  return text;
}

function problemIn(answer: string): Record<string, unknown> {
  const [head = '', body = ''] = answer.split('\r\n\r\n', 2);
  const document = JSON.parse(body) as Record<string, unknown>;
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${document.status} \\w`));
  const lines = head.toLowerCase().split('\r\n');
  for (const line of [
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    'x-content-type-options: nosniff',
  ]) {
    expect(lines.filter((other) => other === line)).toHaveLength(1);
  }
  expect(lines.some((line) => line.startsWith('date: '))).toBe(true);
  expect(document).toMatchObject({
    type: `urn:weir:problem:${document.code}`,
    instance: expect.stringMatching(/^urn:uuid:/),
    detail: expect.any(String),
    title: expect.any(String),
  });
  return document;
}

async function counted(code: string): Promise<number> {
  const metrics = await served.registry.metrics();
  const match = new RegExp(`weir_producer_events_total\\{outcome="${code}",[^}]*\\} (\\d+)`).exec(metrics);
  return Number(match?.[1]);
}

const POST = 'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
const CHUNKED = `${POST}transfer-encoding: chunked\r\n\r\n`;

describe('what Node would answer without a word', () => {
  it.each([
    ['a bad header', `${POST}bad header\r\n\r\n`, 400, 'request-invalid'],
    ['a header of 20 kB', `${POST}pad: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'header-too-large'],
    ['no Host', 'POST /send HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}', 400, 'request-invalid'],
    [
      'another expectation',
      `${POST}expect: foo\r\ncontent-length: 2\r\n\r\n{}`,
      417,
      'expectation-unsupported',
    ],
    ['bytes of TLS', '\u0016\u0003\u0001\u0002\u0000', 400, 'request-invalid'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'request-invalid'],
    ['a forged second answer', 'GET /\r\nHTTP/1.1 200 OK\r\n\r\n', 400, 'request-invalid'],
    ['two lengths', `${POST}content-length: 1\r\ncontent-length: 2\r\n\r\n{}`, 400, 'request-invalid'],
    ['a bad chunk', `${CHUNKED}z\r\n`, 400, 'request-invalid'],
    ['an extension of 20 kB', `${CHUNKED}1;${'x'.repeat(20_000)}\r\n{\r\n`, 413, 'body-too-large'],
    ['a slow header', POST, 408, 'request-timeout'],
    ['a slow body', `${POST}content-length: 9\r\n\r\n{`, 408, 'request-timeout'],
  ])('is a problem document, and is counted once: %s', async (_, bytes, status, code) => {
    const socket = open(bytes);
    const answer = await received(socket);
    expect(problemIn(answer)).toMatchObject({ status, code });
    expect(await counted(code)).toBe(1);
    expect(await counted('body-invalid')).toBe(0);
    expect(served.submitted).toEqual([]);
    expect(served.budget.heldBytes).toBe(0);
  });

  it('is nothing to a client of HTTP/1.0, which has neither Host nor expectations', async () => {
    const answer = await received(
      open('POST /send HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"amount":1}'),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('is told to a slow client of NDJSON behind the outcomes of its lines', async () => {
    const head = 'POST /send/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n';
    const answer = await received(open(`${head}content-length: 99\r\n\r\n{"amount":1}\n{"amount":2}\n{"am`));
    expect(answer).toMatch(/^HTTP\/1\.1 207 /);
    const { results } = JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as { results: object[] };
    expect(results).toMatchObject([
      { status: 200 },
      { status: 200 },
      { status: 408, code: 'request-timeout' },
    ]);
    expect(await counted('request-timeout')).toBe(1);
  });

  it('is not taken back: what comes after a refusal is not stored', async () => {
    const socket = open(POST);
    socket.once('data', () => socket.write('content-length: 12\r\n\r\n{"amount":1}'));
    expect(problemIn(await received(socket))).toMatchObject({ status: 408 });
    expect(served.submitted).toEqual([]);
  });

  it('is not told in place of the answer to an earlier request, of which an event is in hand', async () => {
    const answer = await received(open(`${POST}content-length: 12\r\n\r\n{"amount":1}bad\r\n\r\n`));
    expect(answer).not.toContain('request-invalid');
    const other = await received(open('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'));
    expect(other).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('is told to nobody on a connection that broke, or was never used', async () => {
    const broken = open(`${POST}content-length: 900\r\n\r\n{`);
    await once(served.server, 'request');
    broken.resetAndDestroy();
    expect(await received(open(''))).toBe('');
    for (const code of ['request-invalid', 'request-timeout']) expect(await counted(code)).toBe(0);
    expect(served.budget.heldBytes).toBe(0);
  });
});

describe('the connections of the API', () => {
  it('are kept longer than an AWS load balancer keeps an idle one, 60 s, so that it is the one that closes it', async () => {
    const response = await served.post(JSON.stringify(EVENT));
    const [, seconds] = /^timeout=(\d+)$/.exec(response.headers.get('keep-alive') ?? '') ?? [];
    expect(Number(seconds)).toBeGreaterThan(60);
    expect(served.server.keepAliveTimeout).toBe(Number(seconds) * 1_000);
  });

  it('are so many at most, and one more is closed', async () => {
    const kept = Array.from({ length: LIMITS.maxConnections }, () =>
      open('GET /health HTTP/1.1\r\nhost: x\r\n'),
    );
    await vi.waitFor(async () => {
      const count = await new Promise((resolve) => served.server.getConnections((_, n) => resolve(n)));
      expect(count).toBe(LIMITS.maxConnections);
    });
    const one = 'GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
    expect(await received(open(one))).toBe('');
    kept[0]?.destroy();
    await vi.waitFor(async () => {
      expect(await received(open('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'))).toMatch(
        / 200 /,
      );
    });
  });
});
