import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { Express } from 'express';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import { isUuid } from '../../shared/ids.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { close } from '../../shared/server.ts';
import { Quota } from '../admission/quota.ts';
import type { TrustedProxies } from '../config.ts';
import { NotStoredError, RecordTooLargeError } from '../errors.ts';
import { IdempotencyWindow } from '../ingest/idempotency-window.ts';
import { Ingest } from '../ingest/ingest.ts';
import { createProducerMetrics } from '../metrics.ts';
import { type AppDeps, buildApp } from './app.ts';
import { BodyBudget } from './body-reader.ts';
import { listenerOf, messagesOf } from './messages.ts';

const MAX_EVENT_BYTES = 2_000;
const EVENT = { source: 'sensor-1', amount: 12.5, timestamp: '2026-01-02T03:04:05Z', note: 'kept' };

let app: Express;
let server: Server;
let url: string;
let submitted: { key: string; event: Record<string, unknown> }[];
let refusal: Error | undefined;
let onSubmit: () => void;
let draining: boolean;
let logged: string[];
let registry: ReturnType<typeof createRegistry>;
let budget: BodyBudget;

beforeEach(async () => {
  submitted = [];
  refusal = undefined;
  onSubmit = () => {};
  draining = false;
  logged = [];
  registry = createRegistry('test');
  budget = new BodyBudget(100_000);
  const clock = systemClock;
  const ingest = new Ingest({
    // A Kinesis that takes or refuses everything.
    batcher: {
      offer: (key, data, owner, index) => {
        onSubmit();
        if (refusal instanceof WeirError) return refusal;
        if (refusal) throw refusal;
        submitted.push({ key, event: JSON.parse(Buffer.from(data).toString()) });
        setImmediate(() => {
          owner.answer(index, {
            shardId: 'shardId-000000000001',
            sequenceNumber: `${495 + submitted.length}`,
          });
        });
        return undefined;
      },
    },
    window: new IdempotencyWindow({ maxBytes: 1e6, maxAgeMs: 60_000 }, () => clock.monotonic()),
    clientQuota: new Quota(0, 0),
    sourceQuota: new Quota(0, 0),
    maxEventBytes: MAX_EVENT_BYTES,
    clock,
  });
  const deps: AppDeps = {
    ingest,
    refusal: () => undefined,
    budget,
    maxBatchBytes: 1_000_000,
    maxBatchEvents: 2_000,
    readiness: () => ({
      ok: true,
      status: 'ready',
      sink: 'up',
      buffered_records: 0,
      buffered_bytes: 0,
      oldest_waiting_ms: 0,
    }),
    draining: () => draining,
    clock,
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
    metrics: createProducerMetrics(registry),
    maxEventBytes: MAX_EVENT_BYTES,
    trustProxy: false,
    auth: 'none',
    corsOrigins: [],
  };
  app = buildApp(deps);
  // As it is in a pod: express is less talkative in tests.
  app.set('env', 'production');
  const listener = listenerOf(app);
  server = createServer(messagesOf(app), listener);
  server.on('checkContinue', listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await close(server);
});

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}

async function problem(response: Response): Promise<Record<string, unknown>> {
  expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  const document = (await response.json()) as Record<string, unknown>;
  expect(document.status).toBe(response.status);
  expect(document.type).toBe(`urn:weir:problem:${document.code}`);
  expect(String(document.instance)).toMatch(/^urn:uuid:[0-9a-f-]{36}$/);
  return document;
}

describe('POST /send', () => {
  it('answers with the enriched event and where Kinesis stored it', async () => {
    const response = await post(JSON.stringify(EVENT));
    expect(response.status).toBe(200);
    const { status, payload, kinesis_response } = (await response.json()) as Record<
      string,
      Record<string, unknown>
    >;
    expect(status).toBe('sent');
    expect(kinesis_response).toEqual({ shard_id: 'shardId-000000000001', sequence_number: '496' });
    expect(payload).toMatchObject({ ...EVENT, source_ip: '127.0.0.1' });
    expect(isUuid(payload?.request_id)).toBe(true);
    expect(submitted).toEqual([{ key: 'sensor-1', event: payload }]);
  });

  it('takes numeric strings, a missing source, compression, and +json types', async () => {
    await post(JSON.stringify({ amount: '1e3' }));
    expect(submitted[0]).toMatchObject({
      key: 'default-partition',
      event: { amount: 1000, source: 'default-partition' },
    });
    const zipped = await post(gzipSync(JSON.stringify(EVENT)), { 'content-encoding': 'gzip' });
    expect(zipped.status).toBe(200);
    const typed = await post(JSON.stringify(EVENT), {
      'content-type': 'application/vnd.x+json; charset="UTF-8"',
    });
    expect(typed.status).toBe(200);
  });

  it('sets what the client may not: request_id, source_ip, ingestion_timestamp', async () => {
    const forged = { request_id: 'x', source_ip: '6.6.6.6', ingestion_timestamp: 'then' };
    await post(JSON.stringify({ ...EVENT, ...forged }), { 'x-forwarded-for': '6.6.6.6' });
    expect(submitted[0]!.event).toMatchObject({ source_ip: '127.0.0.1' });
    expect(submitted[0]!.event.request_id).not.toBe('x');
    expect(Date.parse(String(submitted[0]!.event.ingestion_timestamp))).toBeGreaterThan(0);
  });

  it.each<[TrustedProxies, string, string]>([
    [false, '6.6.6.6', '127.0.0.1'],
    [1, '6.6.6.6', '6.6.6.6'],
    [1, '9.9.9.9, 6.6.6.6', '6.6.6.6'],
    [['loopback'], '9.9.9.9, 6.6.6.6', '6.6.6.6'],
    [['10.0.0.0/8'], '6.6.6.6', '127.0.0.1'],
    [1, '::ffff:6.6.6.6', '6.6.6.6'],
    [1, '2001:db8::1', '2001:db8::1'],
    [1, '<script>', '127.0.0.1'],
  ])('trusting %j takes %s to come from %s', async (trusted, forwarded, sourceIp) => {
    app.set('trust proxy', trusted);
    await post(JSON.stringify(EVENT), { 'x-forwarded-for': forwarded });
    expect(submitted[0]!.event.source_ip).toBe(sourceIp);
  });

  it('derives the same request_id from the same source and Idempotency-Key, and stores the event once', async () => {
    const answers: unknown[] = [];
    for (const key of ['k-1', '"k-1"', 'k-2']) {
      answers.push(await (await post(JSON.stringify(EVENT), { 'idempotency-key': key })).json());
    }
    await post(JSON.stringify({ ...EVENT, source: 'other' }), { 'idempotency-key': 'k-1' });
    expect(answers[1]).toEqual(answers[0]);
    expect(new Set(submitted.map(({ event }) => event.request_id)).size).toBe(3);
    expect(submitted).toHaveLength(3);
    const bad = await post(JSON.stringify(EVENT), { 'idempotency-key': 'ü' });
    expect(await problem(bad)).toMatchObject({ status: 400, code: 'idempotency-key-invalid' });
  });

  it.each([
    ['not JSON', '{"a":', 400, 'body-invalid'],
    ['empty', '', 400, 'body-invalid'],
    ['NaN', '{"amount":NaN}', 400, 'body-invalid'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 400, 'body-invalid'],
    ['not an object', '[1]', 422, 'event-invalid'],
    ['null', 'null', 422, 'event-invalid'],
    ['too large', JSON.stringify({ ...EVENT, pad: 'x'.repeat(MAX_EVENT_BYTES) }), 413, 'body-too-large'],
    ['too deep', `{"amount":1,"a":${'['.repeat(30)}${']'.repeat(30)}}`, 422, 'event-invalid'],
    ['a __proto__ key', '{"amount":1,"__proto__":{"x":1}}', 422, 'event-invalid'],
  ])('refuses a body that is %s', async (_, body, status, code) => {
    const response = await post(body);
    expect(await problem(response)).toMatchObject({ status, code });
    expect(submitted).toEqual([]);
    expect(logged).toEqual([]);
  });

  it.each([
    ['/source', { ...EVENT, source: '' }],
    ['/source', { ...EVENT, source: 7 }],
    ['/source', { ...EVENT, source: 'ü'.repeat(129) }],
    ['/amount', { source: 'a' }],
    ['/amount', { ...EVENT, amount: 'twelve' }],
    ['/amount', { ...EVENT, amount: null }],
    ['/amount', { ...EVENT, amount: '1e999' }],
    ['/timestamp', { ...EVENT, timestamp: 'yesterday' }],
    ['/timestamp', { ...EVENT, timestamp: 1735700000 }],
  ])('names the bad field %s', async (pointer, event) => {
    const document = await problem(await post(JSON.stringify(event)));
    expect(document).toMatchObject({ status: 422, code: 'event-invalid', errors: [{ pointer }] });
  });

  it('names all bad fields at once', async () => {
    const document = await problem(await post('{"source":1,"amount":"x","timestamp":2}'));
    expect((document.errors as { pointer: string }[]).map((e) => e.pointer).sort()).toEqual([
      '/amount',
      '/source',
      '/timestamp',
    ]);
  });

  it.each([
    ['application/x-www-form-urlencoded', {}],
    ['text/plain', {}],
    ['application/json; charset=latin1', {}],
    ['application/json', { 'content-encoding': 'zstd2' }],
    ['application/json', { 'content-encoding': 'constructor' }],
  ])('refuses content of type %s with 415', async (type, headers) => {
    const response = await post(JSON.stringify(EVENT), { 'content-type': type, ...headers });
    expect(await problem(response)).toMatchObject({ status: 415, code: 'media-type-unsupported' });
  });

  it('measures after decompression', async () => {
    const bomb = gzipSync(JSON.stringify({ ...EVENT, pad: 'x'.repeat(5_000_000) }));
    const response = await post(bomb, { 'content-encoding': 'gzip' });
    expect(await problem(response)).toMatchObject({ status: 413 });
    const broken = await post('not gzip', { 'content-encoding': 'gzip' });
    expect(await problem(broken)).toMatchObject({ status: 400, code: 'body-invalid' });
  });

  it.each([
    ['throttled', 429],
    ['sink-unavailable', 503],
    ['buffer-full', 503],
    ['draining', 503],
  ] as const)('answers %s with %i and Retry-After', async (code, status) => {
    refusal = new NotStoredError(code, 'for now', 7);
    const response = await post(JSON.stringify(EVENT));
    expect(response.headers.get('retry-after')).toBe('7');
    expect(await problem(response)).toMatchObject({ status, code });
    expect(await registry.metrics()).toContain(
      `weir_producer_events_total{outcome="${code}",service="test"} 1`,
    );
  });

  it('refuses an event that grows over what a record may have', async () => {
    refusal = new RecordTooLargeError(1_100_000, 1_048_576);
    expect(await problem(await post(JSON.stringify(EVENT)))).toMatchObject({
      status: 413,
      code: 'body-too-large',
    });
  });

  it('tells a client nothing of an error of our own, and logs it with the id that the client got', async () => {
    refusal = new Error('secret of ours');
    const document = await problem(await post(JSON.stringify(EVENT)));
    expect(document).toMatchObject({ status: 500, code: 'internal' });
    expect(JSON.stringify(document)).not.toContain('secret');
    expect(logged.join('')).toContain(String(document.instance).slice('urn:uuid:'.length));
  });
});

describe('the rest of the API', () => {
  it('has /health and /ready', async () => {
    const health = (await (await fetch(`${url}/health`)).json()) as Record<string, string>;
    expect(health).toMatchObject({ status: 'healthy', service: 'kinesis-producer' });
    expect(Date.parse(health.timestamp!)).toBeGreaterThan(0);
    const ready = await fetch(`${url}/ready`);
    expect([ready.status, await ready.json()]).toEqual([200, expect.objectContaining({ status: 'ready' })]);
  });

  it('answers 404 and 405 as problems', async () => {
    expect(await problem(await fetch(`${url}/nothing`))).toMatchObject({ status: 404, code: 'not-found' });
    const get = await fetch(`${url}/send`);
    expect(get.headers.get('allow')).toBe('POST');
    expect(await problem(get)).toMatchObject({ status: 405, code: 'method-not-allowed' });
    const health = await fetch(`${url}/health`, { method: 'DELETE' });
    expect([health.status, health.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    for (const path of ['/send/', '/SEND']) {
      const other = await fetch(url + path, { method: 'POST', body: '{}' });
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
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
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

  it('closes the connection with the answer when the stop came in between', async () => {
    const kept = await post(JSON.stringify(EVENT));
    expect(kept.headers.get('connection')).toBe('keep-alive');
    onSubmit = () => {
      draining = true;
    };
    const last = await post(JSON.stringify(EVENT));
    expect([last.status, last.headers.get('connection')]).toEqual([200, 'close']);
  });

  it('measures a body that does not say its length while it comes', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < 50) controller.enqueue(new Uint8Array(1_000).fill(0x20));
        else controller.close();
      },
    });
    const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' };
    const response = await fetch(`${url}/send`, request as RequestInit);
    expect(await problem(response)).toMatchObject({ status: 413, code: 'body-too-large' });
  });

  it('writes neither to the log nor to stderr when clients leave in the middle', async () => {
    // Express's last resort for an error that nobody handled.
    const written = vi.spyOn(console, 'error').mockImplementation(() => {});
    for (const part of ['{"amount":', '{"amount":1,"text":"\u001b[31mforged"']) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      socket.write(
        `POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n${part}`,
      );
      await once(server, 'request');
      socket.destroy();
      await vi.waitFor(async () => {
        expect(await connections()).toBe(0);
      });
    }
    expect((await post(JSON.stringify(EVENT))).status).toBe(200);
    expect([written.mock.calls, logged]).toEqual([[], []]);
    written.mockRestore();
  });

  it('keeps control characters of a client out of its log lines', async () => {
    refusal = new Error('disk\nfull\u001b[31m');
    await post(JSON.stringify({ ...EVENT, source: 'a\nb\u001b[31m' }));
    expect(logged).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(logged[0]!.trimEnd()).not.toMatch(/[\u0000-\u001f]/);
  });

  it('closes the connection on a body that it will not read to its end', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(
      'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n{',
    );
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer.toLowerCase()).toContain('connection: close');
  });

  it('asks for a body only once it wants it', async () => {
    const exchange = async (head: string) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      const body = '{"amount":1}';
      socket.write(
        `POST /send HTTP/1.1\r\nhost: x\r\n${head}expect: 100-continue\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n`,
      );
      let answer = '';
      for await (const chunk of socket) {
        if (answer === '' && /^HTTP\/1.1 100 /.test(String(chunk))) socket.write(body);
        answer += String(chunk);
      }
      return answer.match(/HTTP\/1.1 \d+/g);
    };
    const taken = 'content-type: application/json\r\n';
    expect(await exchange(taken)).toEqual(['HTTP/1.1 100', 'HTTP/1.1 200']);
    expect(await exchange('content-type: text/plain\r\n')).toEqual(['HTTP/1.1 415']);
  });

  it('has room for so many requests that wait at once, also when one connection sends them all', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const one =
      'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"amount":1}';
    socket.write(one.repeat(40));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += String(chunk);
    });
    const statuses = () => (answer.match(/(?<=HTTP\/1.1 )\d+/g) ?? []).sort();
    await vi.waitFor(() => expect(statuses()).toHaveLength(40));
    socket.destroy();
    expect(new Set(statuses())).toEqual(new Set(['200', '503']));
    expect(budget.heldBytes).toBe(0);
  });

  it('counts what the outcomes of a batch take until its answer is sent', async () => {
    const batch = (n: number) => {
      const body = JSON.stringify(Array(n).fill({}));
      return fetch(`${url}/send/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    };
    const few = await batch(100);
    expect([few.status, ((await few.json()) as { failed: number }).failed]).toEqual([207, 100]);
    await vi.waitFor(() => expect(budget.heldBytes).toBe(0));
    expect(await problem(await batch(300))).toMatchObject({ status: 503, code: 'buffer-full' });
    expect(budget.heldBytes).toBe(0);
  });

  it('tells the outcomes of the lines that it has taken when there is no room for more', async () => {
    const lines = fetch(`${url}/send/batch?compact=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: `${JSON.stringify(EVENT)}\n`.repeat(300),
    });
    const answer = (await (await lines).json()) as { stored: number; failures: object[] };
    expect(answer.stored).toBe(Math.floor(100_000 / 512));
    expect(answer.failures).toEqual([expect.objectContaining({ status: 503, code: 'buffer-full' })]);
    await vi.waitFor(() => expect(budget.heldBytes).toBe(0));
  });
});
