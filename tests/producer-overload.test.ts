import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { SplitShardCommand } from '@aws-sdk/client-kinesis';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKinesisClient } from '../services/shared/aws.ts';
import { hashKeyOf } from '../services/shared/kpl/aggregate.ts';
import { listShards } from '../services/shared/list-shards.ts';
import { EMULATOR_CREDENTIALS } from '../services/testkit/emulators.ts';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { eventsOf } from '../services/testkit/stream-events.ts';

/** How long each fault lasts; longer by choice, to see that nothing grows. */
const SECONDS = Number(process.env.FAULT_SECONDS ?? 4);
const STREAM = 'stream';
vi.setConfig({ testTimeout: 20_000 + 2_000 * SECONDS });
const MIB = 1024 * 1024;

const require = createRequire(import.meta.url);
const reference = require('aws-kinesis-agg') as {
  deaggregateSync(
    record: { data: string; partitionKey: string; sequenceNumber: string },
    computeChecksums: boolean,
    done: (error: Error | undefined, records?: { data: string }[]) => void,
  ): void;
};

let kinesis: KinesisDouble;
let producer: ServiceProcess;

beforeEach(async () => {
  kinesis = await startKinesisDouble({ limits: 'none' });
});
afterEach(async () => {
  await producer.stop();
  await kinesis.stop();
});

async function start(shards: number, env: Record<string, string> = {}): Promise<void> {
  kinesis.createStream(STREAM, shards);
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: { STREAM_NAME: STREAM, AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint, ...env },
  });
}

interface Result {
  status: number;
  code?: string;
  request_id?: string;
  shard_id?: string;
  retry_after_seconds?: number;
}

function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${producer.ports.port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}

/** Posts a batch. @returns each event's outcome; a refusal of the whole batch is the outcome of all of its events. */
async function postBatch(events: readonly object[]): Promise<{ results: Result[]; retryAfter: number }> {
  const response = await post('/send/batch', JSON.stringify(events));
  const retryAfter = Number(response.headers.get('retry-after') ?? 0);
  const answer = (await response.json()) as { results?: Result[]; code: string };
  const results = answer.results ?? events.map(() => ({ status: response.status, code: answer.code }));
  return { results, retryAfter };
}

function batch(size: number, sources: number, pad = 0): object[] {
  return Array.from({ length: size }, (_, i) => ({
    source: `sensor-${i % sources}`,
    amount: i,
    timestamp: '2026-01-02T03:04:05.678Z',
    ...(pad > 0 ? { pad: 'x'.repeat(pad) } : {}),
  }));
}

/** Posts batches from several clients until the time is over; clients come again after the time they are told, at most `patienceMs`. */
async function flood(seconds: number, clients: number, make: () => object[], patienceMs: number) {
  const until = performance.now() + seconds * 1_000;
  const accepted = new Set<string>();
  const statuses = new Map<number, number>();
  let untold = 0;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < until) {
        const { results, retryAfter } = await postBatch(make());
        for (const { status, request_id } of results) {
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (status === 200 && request_id) accepted.add(request_id);
          if ((status === 429 || status === 503) && !(retryAfter >= 1)) untold++;
        }
        if (retryAfter > 0) await sleep(Math.min(retryAfter * 1_000, patienceMs));
      }
    }),
  );
  return { accepted, statuses, untold };
}

/** Ids of the events in the stream; a Map of how often each is there. */
function streamed(): Map<string, number> {
  const ids = new Map<string, number>();
  for (const { event } of kinesis.records(STREAM).flatMap(eventsOf)) {
    ids.set(event.request_id, (ids.get(event.request_id) ?? 0) + 1);
  }
  return ids;
}

function residentMiB(pid: number): number {
  return (Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4_096) / MIB;
}

/** The producer still answers, and says it is ready. */
async function expectWell(): Promise<void> {
  const ready = await fetch(`http://127.0.0.1:${producer.ports.adminPort}/readyz`);
  expect(ready.status).toBe(200);
  const response = await post('/send', '{"source":"after","amount":1}');
  expect(response.status).toBe(200);
}

describe('the producer under overload', () => {
  it('stays within its memory at many times what the shard takes, tells who must come again, and keeps what it accepted', async () => {
    kinesis.setLimits('aws');
    const [buffer, bodies, heap, semiSpace] = [8 * MIB, 24 * MIB, 96, 16];
    // With little heap, what only waits to be collected can't pass for what is held: V8 would take gigabytes here before it
    // looks, and the process dies if what it really holds does not fit.
    await start(1, {
      NODE_OPTIONS: `--max-old-space-size=${heap} --max-semi-space-size=${semiSpace}`,
      BUFFER_MAX_BYTES: String(buffer),
      BODIES_MAX_BYTES: String(bodies),
      MAX_BATCH_BYTES: '1000000',
      BUFFER_MAX_AGE_MS: '1000',
      EVENT_DEADLINE_MS: '2000',
    });
    const idle = residentMiB(producer.pid);
    // Twice for what is outside the heap: as much again may wait to be collected.
    // The young generation, of three semi-spaces, stands beside the old one.
    const bound = idle + heap + 3 * semiSpace + (2 * (buffer + bodies)) / MIB;
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, residentMiB(producer.pid));
    }, 100);
    // 60 clients with 15 MB at a time between them and no patience, for a shard that takes 1 MB/s.
    const { accepted, statuses, untold } = await flood(SECONDS, 60, () => batch(250, 100, 1_000), 100);
    clearInterval(watch);
    expect([...statuses.keys()].every((status) => [200, 429, 503].includes(status))).toBe(true);
    // How many depends on how fast the clients are: on a busy machine their batches wait for their turn instead.
    expect((statuses.get(429) ?? 0) + (statuses.get(503) ?? 0)).toBeGreaterThan(0);
    expect(untold).toBe(0);
    expect(accepted.size).toBeGreaterThan(500 * SECONDS);
    expect(peak).toBeLessThan(bound);
    const stored = streamed();
    for (const id of accepted) expect(stored.has(id)).toBe(true);
    await expectWell();
  });

  it('refuses the sources of a throttled shard only', async () => {
    await start(2, { BUFFER_MAX_AGE_MS: '300', EVENT_DEADLINE_MS: '2000' });
    const { results } = await postBatch(batch(40, 40));
    const busy = results[0]?.shard_id ?? '';
    kinesis.faults.next({ operation: 'PutRecords', kind: 'throttle', shardId: busy, times: 1e6 });
    const waiting = postBatch(batch(40, 40));
    await sleep(800);
    const { results: refused, retryAfter } = await postBatch(batch(40, 40));
    for (const [i, result] of refused.entries()) {
      const expected = results[i]?.shard_id === busy ? { status: 429, code: 'throttled' } : { status: 200 };
      expect(result).toMatchObject(expected);
    }
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    const waited = await waiting;
    for (const [i, { status }] of waited.results.entries()) {
      expect(status).toBe(results[i]?.shard_id === busy ? 429 : 200);
    }
    const metrics = await (await fetch(`http://127.0.0.1:${producer.ports.adminPort}/metrics`)).text();
    expect(metrics).toMatch(/weir_producer_record_failures_total\{reason="throttled",[^}]*\} [1-9]/);
    kinesis.faults.clear();
    await expectWell();
  });

  it('fails fast while Kinesis is down, keeps what it accepted, and is back as soon as Kinesis is', async () => {
    await start(2, { EVENT_DEADLINE_MS: '1500', PUT_TIMEOUT_MS: '500' });
    const before = await flood(0.3, 4, () => batch(50, 50), 0);
    kinesis.faults.next({ operation: 'PutRecords', kind: 'http-500', times: 1e6 });
    const during = await flood(SECONDS, 10, () => batch(50, 50), 20);
    expect([...during.statuses.keys()]).toEqual([503]);
    expect(during.untold).toBe(0);
    // Far more than who waits for a deadline each time could have asked.
    expect(during.statuses.get(503)).toBeGreaterThan(10 * 50 * SECONDS);
    kinesis.faults.clear();
    await expectWell();
    const after = await flood(0.3, 4, () => batch(50, 50), 0);
    expect([...after.statuses.keys()]).toEqual([200]);
    const stored = streamed();
    for (const id of [...before.accepted, ...after.accepted]) expect(stored.get(id)).toBe(1);
  });

  it('loses nothing over splits: what went to the wrong shard goes again, and every aggregate is whole', async () => {
    await start(1, { LINGER_MS: '2' });
    const client = createKinesisClient({
      region: 'eu-west-1',
      kinesisEndpoint: kinesis.endpoint,
      credentials: EMULATOR_CREDENTIALS,
    });
    const flooding = flood(SECONDS, 6, () => batch(100, 60), 0);
    for (let split = 0; split < 3; split++) {
      await sleep((SECONDS * 1_000) / 5);
      const open = (await listShards(client, STREAM)).filter((shard) => shard.open);
      const [shard] = open;
      const { starting, ending } = shard!.hashKeyRange;
      const middle = (BigInt(starting) + BigInt(ending)) / 2n;
      await client.send(
        new SplitShardCommand({
          StreamName: STREAM,
          ShardToSplit: shard!.shardId,
          NewStartingHashKey: String(middle),
        }),
      );
    }
    const { accepted, statuses } = await flooding;
    expect([...statuses.keys()]).toEqual([200]);
    const ranges = new Map(
      (await listShards(client, STREAM)).map(({ shardId, hashKeyRange }) => [shardId, hashKeyRange]),
    );
    client.destroy();
    /** Seen by a consumer that drops what lies outside its shard's range, as KCL does. */
    const seen = new Set<string>();
    let aggregates = 0;
    let outside = 0;
    for (const record of kinesis.records(STREAM)) {
      const events = eventsOf(record);
      if (events.length > 1) aggregates++;
      reference.deaggregateSync(
        {
          data: record.data.toString('base64'),
          partitionKey: record.partitionKey,
          sequenceNumber: record.sequenceNumber,
        },
        true,
        (error, records) => {
          expect(error ?? undefined).toBeUndefined();
          expect(records?.length).toBe(events.length);
        },
      );
      const { starting, ending } = ranges.get(record.shardId)!;
      for (const { partitionKey, event } of events) {
        const at = hashKeyOf({ partitionKey });
        if (at >= BigInt(starting) && at <= BigInt(ending)) seen.add(event.request_id);
        else outside++;
      }
    }
    expect(aggregates).toBeGreaterThan(10);
    expect(ranges.size).toBe(7);
    for (const id of accepted) expect(seen.has(id)).toBe(true);
    const metrics = await (await fetch(`http://127.0.0.1:${producer.ports.adminPort}/metrics`)).text();
    const misrouted = Number(/reason="misrouted",[^}]*\} (\d+)/.exec(metrics)?.[1]);
    expect(misrouted).toBe(outside);
    expect(outside).toBeGreaterThan(0);
  });

  it('packs events of 239 bytes so that a shard takes 4,000 a second', async () => {
    await start(1);
    const { results } = await postBatch(batch(5_000, 200));
    expect(results.every(({ status }) => status === 200)).toBe(true);
    const records = kinesis.records(STREAM);
    const events = records.flatMap(eventsOf);
    expect(events).toHaveLength(5_000);
    const payload = events.reduce((sum, { event }) => sum + JSON.stringify(event).length, 0);
    const bytes = records.reduce((sum, { data, partitionKey }) => sum + data.length + partitionKey.length, 0);
    // What they take beside themselves, on top of 239 bytes, has to fit 4,000 times into 1 MiB.
    const overhead = (bytes - payload) / 5_000;
    expect(MIB / (239 + overhead)).toBeGreaterThan(4_000);
  });
});
