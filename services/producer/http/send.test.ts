import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isUuid } from '../../shared/ids.ts';
import type { TrustedProxies } from '../config.ts';
import { NotStoredError, RecordTooLargeError } from '../errors.ts';
import { EVENT, MAX_EVENT_BYTES, problem, ServedApp } from './fixtures.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let served: ServedApp;
beforeEach(async () => {
  served = await ServedApp.start();
});
afterEach(() => served.close());

describe('POST /send', () => {
  it('answers with the enriched event and where Kinesis stored it', async () => {
    const response = await served.post(JSON.stringify(EVENT));
    expect(response.status).toBe(200);
    const { status, payload, kinesis_response } = (await response.json()) as Record<
      string,
      Record<string, unknown>
    >;
    expect(status).toBe('sent');
    expect(kinesis_response).toEqual({ shard_id: 'shardId-000000000001', sequence_number: '496' });
    expect(payload).toMatchObject({ ...EVENT, source_ip: '127.0.0.1' });
    expect(isUuid(payload?.request_id)).toBe(true);
    expect(served.submitted).toEqual([{ key: 'sensor-1', event: payload }]);
  });

  it('takes numeric strings, a missing source, compression, and +json types', async () => {
    await served.post(JSON.stringify({ amount: '1e3' }));
    expect(served.submitted[0]).toMatchObject({
      key: 'default-partition',
      event: { amount: 1000, source: 'default-partition' },
    });
    const zipped = await served.post(gzipSync(JSON.stringify(EVENT)), { 'content-encoding': 'gzip' });
    expect(zipped.status).toBe(200);
    const typed = await served.post(JSON.stringify(EVENT), {
      'content-type': 'application/vnd.x+json; charset="UTF-8"',
    });
    expect(typed.status).toBe(200);
  });

  it('sets what the client may not: request_id, source_ip, ingestion_timestamp', async () => {
    const forged = { request_id: 'x', source_ip: '6.6.6.6', ingestion_timestamp: 'then' };
    await served.post(JSON.stringify({ ...EVENT, ...forged }), { 'x-forwarded-for': '6.6.6.6' });
    expect(served.submitted[0]!.event).toMatchObject({ source_ip: '127.0.0.1' });
    expect(served.submitted[0]!.event.request_id).not.toBe('x');
    expect(Date.parse(String(served.submitted[0]!.event.ingestion_timestamp))).toBeGreaterThan(0);
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
    served.app.set('trust proxy', trusted);
    await served.post(JSON.stringify(EVENT), { 'x-forwarded-for': forwarded });
    expect(served.submitted[0]!.event.source_ip).toBe(sourceIp);
  });

  it('derives the same request_id from the same source and Idempotency-Key, and stores the event once', async () => {
    const answers: unknown[] = [];
    for (const key of ['k-1', '"k-1"', 'k-2']) {
      answers.push(await (await served.post(JSON.stringify(EVENT), { 'idempotency-key': key })).json());
    }
    await served.post(JSON.stringify({ ...EVENT, source: 'other' }), { 'idempotency-key': 'k-1' });
    expect(answers[1]).toEqual(answers[0]);
    expect(new Set(served.submitted.map(({ event }) => event.request_id)).size).toBe(3);
    expect(served.submitted).toHaveLength(3);
    const bad = await served.post(JSON.stringify(EVENT), { 'idempotency-key': 'ü' });
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
    const response = await served.post(body);
    expect(await problem(response)).toMatchObject({ status, code });
    expect(served.submitted).toEqual([]);
    expect(served.logged).toEqual([]);
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
    const document = await problem(await served.post(JSON.stringify(event)));
    expect(document).toMatchObject({ status: 422, code: 'event-invalid', errors: [{ pointer }] });
  });

  it('names all bad fields at once', async () => {
    const document = await problem(await served.post('{"source":1,"amount":"x","timestamp":2}'));
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
    const response = await served.post(JSON.stringify(EVENT), { 'content-type': type, ...headers });
    expect(await problem(response)).toMatchObject({ status: 415, code: 'media-type-unsupported' });
  });

  it('measures after decompression', async () => {
    const bomb = gzipSync(JSON.stringify({ ...EVENT, pad: 'x'.repeat(5_000_000) }));
    const response = await served.post(bomb, { 'content-encoding': 'gzip' });
    expect(await problem(response)).toMatchObject({ status: 413 });
    const broken = await served.post('not gzip', { 'content-encoding': 'gzip' });
    expect(await problem(broken)).toMatchObject({ status: 400, code: 'body-invalid' });
  });

  it.each([
    ['throttled', 429],
    ['sink-unavailable', 503],
    ['buffer-full', 503],
    ['draining', 503],
  ] as const)('answers %s with %i and Retry-After', async (code, status) => {
    served.refusal = new NotStoredError(code, 'for now', 7);
    const response = await served.post(JSON.stringify(EVENT));
    expect(response.headers.get('retry-after')).toBe('7');
    expect(await problem(response)).toMatchObject({ status, code });
    expect(await served.registry.metrics()).toContain(
      `weir_producer_events_total{outcome="${code}",service="test"} 1`,
    );
  });

  it('refuses an event that grows over what a record may have', async () => {
    served.refusal = new RecordTooLargeError(1_100_000, 1_048_576);
    expect(await problem(await served.post(JSON.stringify(EVENT)))).toMatchObject({
      status: 413,
      code: 'body-too-large',
    });
  });

  it('tells a client nothing of an error of our own, and logs it with the id that the client got', async () => {
    served.refusal = new Error('secret of ours');
    const document = await problem(await served.post(JSON.stringify(EVENT)));
    expect(document).toMatchObject({ status: 500, code: 'internal' });
    expect(JSON.stringify(document)).not.toContain('secret');
    expect(served.logged.join('')).toContain(String(document.instance).slice('urn:uuid:'.length));
  });

  it('holds an event as its bytes alone while it waits for Kinesis', async () => {
    const answers: (() => void)[] = [];
    const parsed: WeakRef<object>[] = [];
    served.answerLater = (answer) => answers.push(answer);
    served.onEvent = (value) => parsed.push(new WeakRef(value as object));
    const responses = [
      served.post(JSON.stringify(EVENT)),
      served.post(JSON.stringify(EVENT), { 'idempotency-key': 'k' }),
    ];
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    await vi.waitFor(() => {
      collectGarbage();
      expect(parsed.map((event) => event.deref())).toEqual([undefined, undefined]);
    });
    for (const answer of answers) answer();
    for (const response of responses) expect((await response).status).toBe(200);
  });
});
