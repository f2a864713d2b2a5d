import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { eventsOf } from '../services/testkit/stream-events.ts';

const STREAM = 'stream';
const REQUEST_TIMEOUT_MS = 1_000;
let kinesis: KinesisDouble;
let producer: ServiceProcess;
let before: Set<string>;

beforeAll(async () => {
  kinesis = await startKinesisDouble({ limits: 'none' });
  kinesis.createStream(STREAM, 3);
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: {
      STREAM_NAME: STREAM,
      AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint,
      MAX_EVENT_BYTES: '4096',
      MAX_BATCH_BYTES: '2000000',
      MAX_BATCH_EVENTS: '5000',
      REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
    },
  });
});
afterAll(async () => {
  await producer.stop();
  await kinesis.stop();
});
beforeEach(() => {
  before = new Set(allEvents().map(({ event }) => event.request_id));
});

const allEvents = () => kinesis.records(STREAM).flatMap(eventsOf);
/** Events that came into the stream during the test. */
const streamed = () => allEvents().filter(({ event }) => !before.has(event.request_id));

interface Answer {
  total: number;
  stored: number;
  failed: number;
  results?: Record<string, unknown>[];
  failures?: Record<string, unknown>[];
  code?: string;
}

async function post(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; answer: Answer }> {
  const response = await fetch(`http://127.0.0.1:${producer.ports.port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  return { status: response.status, headers: response.headers, answer: (await response.json()) as Answer };
}

const NDJSON = { 'content-type': 'application/x-ndjson' };
const EVENTS = Array.from({ length: 50 }, (_, i) => ({ id: i, source: `s-${i % 7}`, amount: i }));

describe('POST /send/batch', () => {
  it.each([
    ['a JSON array', JSON.stringify(EVENTS), {}],
    ['NDJSON', EVENTS.map((e) => `${JSON.stringify(e)}\n`).join(''), NDJSON],
    [
      'a CloudEvents batch',
      JSON.stringify(EVENTS.map(cloudEvent)),
      { 'content-type': 'application/cloudevents-batch+json' },
    ],
  ])('takes %s and tells each event its own place', async (_, body, headers) => {
    const { status, answer } = await post('/send/batch', body, headers);
    expect([status, answer.total, answer.stored, answer.failed]).toEqual([200, 50, 50, 0]);
    const place = new Map(
      streamed().map((e) => [
        e.event.request_id,
        [e.shardId, e.sequenceNumber, e.subSequenceNumber, e.event.amount],
      ]),
    );
    expect(place.size).toBe(50);
    for (const [i, result] of answer.results!.entries()) {
      const { status, id, request_id, shard_id, sequence_number, sub_sequence_number } = result;
      expect([status, String(id)]).toEqual([200, String(i)]);
      expect(place.get(String(request_id))).toEqual([shard_id, sequence_number, sub_sequence_number, i]);
    }
  });

  it('answers 207 with each outcome in order when some events are bad, and stores the others', async () => {
    const lines = [
      '{"amount":1}',
      'not json',
      '{"source":"s"}',
      '[1]',
      '{"amount":2}',
      `{"amount":3,"pad":"${'x'.repeat(5_000)}"}`,
      '{"amount":4}',
    ];
    const { status, answer } = await post('/send/batch', lines.join('\n'), NDJSON);
    expect([status, answer.total, answer.stored, answer.failed]).toEqual([207, 7, 3, 4]);
    expect(answer.results!.map((r) => [r.status, r.code])).toEqual([
      [200, undefined],
      [400, 'body-invalid'],
      [422, 'event-invalid'],
      [422, 'event-invalid'],
      [200, undefined],
      [413, 'body-too-large'],
      [200, undefined],
    ]);
    expect(answer.results![2]!.errors).toEqual([{ pointer: '/amount', detail: 'is required' }]);
    expect(
      streamed()
        .map(({ event }) => event.amount)
        .sort(),
    ).toEqual([1, 2, 4]);
  });

  it('with compact=true gives counts and failures only', async () => {
    const body = JSON.stringify([{ amount: 1 }, { id: 'mine', amount: 'x' }, { amount: 3 }]);
    const { status, answer } = await post('/send/batch?compact=true', body);
    expect([status, answer.total, answer.stored, answer.failed, answer.results]).toEqual([
      207,
      3,
      2,
      1,
      undefined,
    ]);
    expect(answer.failures).toEqual([
      expect.objectContaining({ index: 1, id: 'mine', status: 422, code: 'event-invalid' }),
    ]);
  });

  it('counts each event once when a batch is sent again with its key, also when events are CloudEvents', async () => {
    const key = { 'idempotency-key': 'batch-1' };
    const first = await post('/send/batch', JSON.stringify(EVENTS), key);
    const again = await post('/send/batch', JSON.stringify(EVENTS), key);
    expect(again.answer).toEqual(first.answer);
    expect(streamed()).toHaveLength(50);
    const ce = { 'content-type': 'application/cloudevents-batch+json' };
    const batch = [{ ...cloudEvent(EVENTS[0]!), id: 'ce-1' }];
    const cloud = await post('/send/batch', JSON.stringify([...batch, ...batch]), ce);
    expect(cloud.answer.stored).toBe(2);
    expect(streamed()).toHaveLength(51);
    const changed = [{ ...batch[0]!, data: { amount: 9 } }];
    const reused = await post('/send/batch', JSON.stringify(changed), ce);
    expect(reused.answer.results![0]).toMatchObject({ status: 422, code: 'idempotency-key-reused' });
  });

  it.each([
    ['nothing', '', {}, 400],
    ['an empty array', '[]', {}, 400],
    ['empty lines', '\n\r\n\n', NDJSON, 400],
    ['an object', '{"amount":1}', {}, 400],
    ['half an array', '[{"amount":1},', {}, 400],
    ['text', 'amount=1', { 'content-type': 'text/plain' }, 415],
    ['too many events', JSON.stringify(Array(5_001).fill({ amount: 1 })), {}, 413],
    ['too many bytes', `[{"amount":1,"a":"${'x'.repeat(2_000_000)}"}]`, {}, 413],
    ['a bomb', gzipSync(`[${' '.repeat(50_000_000)}]`), { 'content-encoding': 'gzip' }, 413],
    ['broken gzip', 'not gzip', { 'content-encoding': 'gzip' }, 400],
    ['an encoding of its own', '[]', { 'content-encoding': 'zstd2' }, 415],
    ['a key that is none', '[{"amount":1}]', { 'idempotency-key': '' }, 400],
  ])('refuses %s as a whole', async (_, body, headers, status) => {
    expect((await post('/send/batch', body, headers)).status).toBe(status);
    expect(streamed()).toHaveLength(0);
  });

  it('takes lines up to the limits, then says why it took no more', async () => {
    const { status, answer } = await post('/send/batch?compact=true', '{"amount":1}\n'.repeat(5_010), NDJSON);
    expect([status, answer.stored, answer.failed]).toEqual([207, 5_000, 1]);
    expect(answer.failures).toEqual([expect.objectContaining({ index: 5_000, status: 413 })]);
    const bomb = gzipSync('{"amount":1}\n\n'.repeat(200) + '\n'.repeat(60_000_000));
    const { answer: burst } = await post('/send/batch?compact=true', bomb, {
      ...NDJSON,
      'content-encoding': 'gzip',
    });
    expect([burst.stored, burst.failures]).toEqual([200, [expect.objectContaining({ status: 413 })]]);
    expect(streamed()).toHaveLength(5_200);
  });

  it('takes lines as they come, and what came before a client broke off', async () => {
    const socket = connect(producer.ports.port!, '127.0.0.1');
    socket.write(
      `POST /send/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const line = '{"source":"cut","amount":1}\n';
    socket.write(`${line.length.toString(16)}\r\n${line}\r\n`);
    await expect.poll(() => streamed().length).toBe(1);
    socket.destroy();
    expect((await post('/send', '{"amount":1}')).status).toBe(200);
  });

  it('does not hold others up while it takes a large batch', async () => {
    const large = JSON.stringify(
      Array.from({ length: 5_000 }, (_, i) => ({ source: `s-${i % 50}`, amount: i, pad: 'x'.repeat(200) })),
    );
    const loop = async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${producer.ports.adminPort}/metrics`)).text();
      return Number(/nodejs_eventloop_lag_max_seconds\{[^}]*\} ([\d.e-]+)/.exec(metrics)?.[1]);
    };
    await post('/send/batch?compact=true', large);
    await loop();
    const { status } = await post('/send/batch?compact=true', large);
    expect(status).toBe(200);
    // For a noisy machine; that a slice is 2 ms, and one a turn, is for the tests of `Turns` and of the parser to show.
    expect(await loop()).toBeLessThan(0.3);
  });
});

describe('hostile clients', () => {
  it('get a 4xx for whatever they send, and the producer goes on', async () => {
    const media = fc.constantFrom(
      'application/json',
      'application/x-ndjson',
      'application/cloudevents+json',
      'application/cloudevents-batch+json',
      'text/plain',
    );
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      fc.array(fc.json()).map((texts) => Buffer.from(`[${texts.join(',')}]`)),
      fc
        .constantFrom('{"amount":1e999}', '[[[[', '{"a":1}{"b":2}', '"\\ud800"', '{"__proto__":1,"amount":1}')
        .map((text) => Buffer.from(text)),
    );
    const headers = fc.record(
      {
        'content-encoding': fc.constantFrom('gzip', 'br', 'deflate', 'x'),
        'idempotency-key': fc.constantFrom('a', '"', 'a b', 'x'.repeat(300)),
        'ce-id': fc.constantFrom('', '1', '%ff', '%'),
        'ce-specversion': fc.constantFrom('1.0', '2'),
        traceparent: fc.constantFrom('', 'x', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('/send', '/send/batch'),
        media,
        body,
        headers,
        async (path, type, bytes, more) => {
          const { status, answer } = await post(path, bytes as Uint8Array<ArrayBuffer>, {
            ...more,
            'content-type': type,
          });
          expect([200, 207, 400, 413, 415, 422]).toContain(status);
          if (status === 207) {
            for (const result of answer.results!) expect([200, 400, 413, 422]).toContain(result.status);
          } else if (status !== 200) expect(answer.code).toMatch(/^[a-z-]+$/);
        },
      ),
      { numRuns: 300 },
    );
    expect((await post('/send', '{"amount":1}')).status).toBe(200);
  });

  it('that are slow lose their connection, and hold nothing meanwhile', async () => {
    const slow = Array.from({ length: 50 }, () => {
      const socket = connect(producer.ports.port!, '127.0.0.1');
      socket.write(
        'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000\r\n\r\n{',
      );
      const drip = setInterval(() => socket.write(' '), 100);
      const closed = new Promise<string>((resolve) => {
        let answer = '';
        socket.on('data', (chunk) => {
          answer += chunk;
        });
        socket.on('error', () => {});
        socket.on('close', () => {
          clearInterval(drip);
          resolve(answer);
        });
      });
      return closed;
    });
    expect((await post('/send', '{"amount":1}')).status).toBe(200);
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^(HTTP\/1\.1 408|$)/);
    // The producer hears of a closed connection in its own time.
    await vi.waitFor(async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${producer.ports.adminPort}/metrics`)).text();
      expect(metrics).toMatch(/weir_producer_request_body_bytes\{[^}]*\} 0$/m);
      expect(metrics).toMatch(/weir_producer_buffered_bytes\{[^}]*\} 0$/m);
    });
  });
});

function cloudEvent({ id, source, amount }: (typeof EVENTS)[number]) {
  return { specversion: '1.0', id: String(id), source, type: 'reading', data: { amount } };
}
