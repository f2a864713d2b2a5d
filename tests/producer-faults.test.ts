import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { eventsOf } from '../services/testkit/stream-events.ts';

const STREAM = 'stream';
const EVENTS = 300;
let kinesis: KinesisDouble;
let producer: ServiceProcess;

async function startProducer(env: Record<string, string> = {}): Promise<void> {
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: {
      STREAM_NAME: STREAM,
      AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint,
      PUT_TIMEOUT_MS: '500',
      EVENT_DEADLINE_MS: '2500',
      ...env,
    },
  });
}

async function startKinesis(): Promise<void> {
  kinesis = await startKinesisDouble({ limits: 'none' });
  kinesis.createStream(STREAM, 2);
}

async function stop(): Promise<void> {
  await producer.stop();
  await kinesis.stop();
}

/** Names the sources of a test, so that several may share a stream. */
let round = 0;
beforeEach(() => {
  round++;
});

/** Ten clients, each with a source of its own, that wait for each answer and send again what was not taken. */
async function sendAll(): Promise<Map<string, number>> {
  const accepted = new Map<string, number>();
  const clients = Array.from({ length: 10 }, async (_, client) => {
    for (let n = 0; n < EVENTS / 10; n++) {
      for (;;) {
        const response = await fetch(`http://127.0.0.1:${producer.ports.port}/send`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': `${n}` },
          body: JSON.stringify({ source: `${round}/${client}`, amount: n }),
        });
        const answer = (await response.json()) as { payload: { request_id: string } };
        if (response.status !== 200) continue;
        accepted.set(answer.payload.request_id, n);
        break;
      }
    }
  });
  await Promise.all(clients);
  return accepted;
}

/** What the test sent, as the consumer counts it: the first of each request_id, by source. */
function streamed(): { ids: string[]; bySource: Map<string, number[]> } {
  const ids = new Set<string>();
  const bySource = new Map<string, number[]>();
  for (const { event } of kinesis.records(STREAM).flatMap(eventsOf)) {
    const { request_id: id, source, amount } = event;
    if (ids.has(id) || !source.startsWith(`${round}/`)) continue;
    ids.add(id);
    bySource.set(source, [...(bySource.get(source) ?? []), amount]);
  }
  return { ids: [...ids].sort(), bySource };
}

describe.each(['off', 'shard'])(
  'the producer with AGGREGATION=%s, when Kinesis misbehaves',
  (AGGREGATION) => {
    beforeAll(async () => {
      await startKinesis();
      await startProducer({ AGGREGATION });
    });
    afterEach(() => {
      kinesis.faults.clear();
      kinesis.setLimits('none');
    });
    afterAll(stop);

    it.each<[string, (faults: KinesisDouble['faults']) => void]>([
      ['nothing', () => {}],
      [
        'partial failures',
        (faults) =>
          faults.next({
            operation: 'PutRecords',
            kind: 'partial',
            fails: (index) => index % 2 === 0,
            times: 12,
          }),
      ],
      ['throttled calls', (faults) => faults.next({ operation: 'PutRecords', kind: 'throttle', times: 10 })],
      [
        'internal failures',
        (faults) => faults.next({ operation: 'PutRecords', kind: 'internal-failure', times: 10 }),
      ],
      [
        '500s that are not JSON',
        (faults) => faults.next({ operation: 'PutRecords', kind: 'http-500', times: 10 }),
      ],
      ['lost answers', (faults) => faults.next({ operation: 'PutRecords', kind: 'lost-answer', times: 10 })],
      ['broken connections', (faults) => faults.next({ operation: 'PutRecords', kind: 'reset', times: 10 })],
      [
        'answers after the time-out',
        (faults) => faults.next({ operation: 'PutRecords', kind: 'latency', ms: 800, times: 3 }),
      ],
    ])(
      '%s: what it accepted is in the stream, once after dedupe, in the order of each client',
      async (_, plan) => {
        plan(kinesis.faults);
        const accepted = await sendAll();
        const { ids, bySource } = streamed();
        expect(kinesis.faults.pending).toBe(0);
        expect(accepted.size).toBe(EVENTS);
        expect(ids).toEqual([...accepted.keys()].sort());
        for (const amounts of bySource.values())
          expect(amounts).toEqual(Array.from({ length: EVENTS / 10 }, (_, n) => n));
      },
    );

    it('tells callers to come back while a shard is throttled for long, and loses nothing', async () => {
      kinesis.setLimits('aws');
      kinesis.faults.next({ operation: 'PutRecords', kind: 'throttle', times: 200 });
      const response = await fetch(`http://127.0.0.1:${producer.ports.port}/send`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"source":"a","amount":1}',
      });
      expect([response.status, Number(response.headers.get('retry-after'))]).toEqual([
        429,
        expect.any(Number),
      ]);
      expect(await response.json()).toMatchObject({ code: 'throttled' });
      const ready = await fetch(`http://127.0.0.1:${producer.ports.adminPort}/readyz`);
      expect(ready.status).toBe(200);
    });
  },
);

describe('the producer', () => {
  afterEach(stop);

  it('starts while Kinesis is down, says 503 until it is there, and then stores what it accepts, once', async () => {
    await startKinesis();
    // Each call of each kind: the probe, ListShards and PutRecords.
    kinesis.faults.rule(() => ({ kind: 'http-500' }));
    await startProducer({ EVENT_DEADLINE_MS: '300', PUT_TIMEOUT_MS: '200' });
    const ready = async () => (await fetch(`http://127.0.0.1:${producer.ports.port}/ready`)).status;
    expect(await ready()).toBe(503);
    const sending = sendAll();
    await expect.poll(() => kinesis.calls.get('PutRecords') ?? 0).toBeGreaterThan(1);
    expect([await ready(), kinesis.storedCount(STREAM)]).toEqual([503, 0]);
    kinesis.faults.clear();
    const accepted = await sending;
    expect(streamed().ids).toEqual([...accepted.keys()].sort());
    await expect.poll(ready).toBe(200);
    // From now on it knows the shards again, and packs by them.
    await expect.poll(() => kinesis.calls.get('ListShards') ?? 0).toBeGreaterThan(1);
  });
});
