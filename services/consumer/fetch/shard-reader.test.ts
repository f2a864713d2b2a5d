import {
  DescribeStreamSummaryCommand,
  type KinesisClient,
  MergeShardsCommand,
  PutRecordsCommand,
  RegisterStreamConsumerCommand,
} from '@aws-sdk/client-kinesis';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { createKinesisClient, createSubscribingClient } from '../../shared/aws.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { Aggregator } from '../../shared/kpl/aggregate.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type KinesisDouble, startKinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { createStream, streamActive } from '../../testkit/provision.ts';
import { ScaledClock } from '../../testkit/scaled-clock.ts';
import { StoppedError } from '../errors.ts';
import type { ReadFrom } from '../lineage/lineage.ts';
import { createConsumerMetrics } from '../metrics.ts';
import type { FetchedBatch, StreamRecord } from '../record.ts';
import { ByteBudget } from './byte-budget.ts';
import { FanOutConsumer } from './fan-out-consumer.ts';
import type { FetchMode } from './modes.ts';
import { ShardReader } from './shard-reader.ts';
import type { ShardSourceFactory } from './shard-source.ts';
import { createSources } from './sources.ts';

const SHARD = 'shardId-000000000000';
const OTHER_SHARD = 'shardId-000000000001';
const HORIZON: ReadFrom = { type: 'TRIM_HORIZON' };
const MIB = 1024 * 1024;
const log = pino({ level: 'silent' });

/** What a reader is tried against, and how the reader reads. */
interface Subject {
  endpoint: string;
  clock: Clock;
  mode: FetchMode;
  double?: KinesisDouble;
  stop(): Promise<void>;
}

const SUBJECTS: Record<string, () => Promise<Subject>> = {
  'polling kinesis-local': async () => ({
    endpoint: inject('kinesisEndpoint'),
    clock: systemClock,
    mode: 'polling',
    stop: async () => {},
  }),
  'polling the double': () => onDouble('polling'),
  'fan-out from the double': () => onDouble('fanout'),
};

async function onDouble(
  mode: Subject['mode'],
  options: object = {},
): Promise<Subject & { double: KinesisDouble }> {
  const clock = new ScaledClock(50);
  const double = await startKinesisDouble({ clock, ...options });
  return { endpoint: double.endpoint, clock, mode, double, stop: () => double.stop() };
}

let subject: Subject;
let client: KinesisClient;
let subscriber: KinesisClient;
let stream: string;
let readers: ShardReader[];

async function begin(make: () => Promise<Subject>): Promise<void> {
  subject = await make();
  const options = {
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    kinesisEndpoint: subject.endpoint,
    maxAttempts: 1,
  };
  client = createKinesisClient(options);
  subscriber = createSubscribingClient(options);
  stream = `reader-${Math.random().toString(36).slice(2)}`;
  readers = [];
  await createStream(client, stream, 2);
}
afterEach(async () => {
  for (const reader of readers) reader.close();
  client.destroy();
  subscriber.destroy();
  await subject.stop();
});

interface ReaderOptions {
  budget?: ByteBudget;
  register?: boolean;
  stallMs?: number;
  renewAfterMs?: number;
  shardId?: string;
  /** Those of the process, where several readers are of one. */
  sources?: ShardSourceFactory;
}

function sourcesOf({ register = true, stallMs, renewAfterMs }: ReaderOptions = {}): ShardSourceFactory {
  const { clock, mode } = subject;
  const consumer = new FanOutConsumer({ client, stream, consumer: 'app', register, clock });
  return createSources(
    mode,
    { client, stream, pollIntervalMs: 200, clock },
    {
      client: subscriber,
      consumer,
      clock,
      ...(stallMs && { stallMs }),
      ...(renewAfterMs && { renewAfterMs }),
    },
    log,
  );
}

function readerFrom(from: ReadFrom, options: ReaderOptions = {}): ShardReader {
  const { clock } = subject;
  const metrics = createConsumerMetrics(createRegistry('test'));
  const { shardId = SHARD, sources = sourcesOf(options) } = options;
  const reader = new ShardReader(
    {
      budget: options.budget ?? new ByteBudget(MIB),
      aggregates: { corrupt: 'quarantine', stray: 'accept' },
      clock,
      random: Math.random,
      log,
      metrics,
    },
    sources(shardId),
    { shardId, from, hashKeyRange: undefined },
  );
  readers.push(reader);
  return reader;
}

/** Puts into the shard that is read, in one call. */
async function put(...data: (string | Uint8Array)[]): Promise<void> {
  const answer = await client.send(
    new PutRecordsCommand({
      StreamName: stream,
      Records: data.map((one) => ({
        PartitionKey: 'k',
        ExplicitHashKey: '0',
        Data: typeof one === 'string' ? Buffer.from(one) : one,
      })),
    }),
  );
  if (answer.FailedRecordCount) throw new Error(JSON.stringify(answer.Records?.[0]));
}

const next = (reader: ShardReader): Promise<FetchedBatch> =>
  reader.next(AbortSignal.timeout(15_000), () => {});

async function read(reader: ShardReader, count: number): Promise<StreamRecord[]> {
  const records: StreamRecord[] = [];
  while (records.length < count) records.push(...(await next(reader)).records);
  return records;
}
const texts = (records: StreamRecord[]) => records.map(({ data }) => Buffer.from(data).toString());
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));

function aggregate(...data: string[]): Buffer {
  const aggregator = new Aggregator();
  for (const one of data) aggregator.add({ partitionKey: 'k', data: Buffer.from(one) });
  return aggregator.encode();
}

describe.each(Object.entries(SUBJECTS))('a reader, %s', (_, make) => {
  beforeEach(() => begin(make));

  it('reads from the beginning, on from a record, and from a time', async () => {
    await put('1', '2');
    const [first] = await read(readerFrom(HORIZON), 2);
    const done = { sequenceNumber: first!.sequenceNumber, subSequenceNumber: 0 };
    const reader = readerFrom({ type: 'AT_SEQUENCE_NUMBER', done });
    expect(texts(await read(reader, 1))).toEqual(['2']);
    reader.close();
    await subject.clock.sleep(1_100);
    const timestamp = subject.clock.now() - 100;
    await put('3');
    expect(texts(await read(readerFrom({ type: 'AT_TIMESTAMP', timestamp }), 1))).toEqual(['3']);
  });

  it('takes aggregates apart, and goes on inside one where a checkpoint cut it', async () => {
    await put(aggregate('a', 'b', 'c'), 'd', aggregate('e', 'f'));
    const all = await read(readerFrom(HORIZON), 6);
    expect(texts(all)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(all.map(({ subSequenceNumber }) => subSequenceNumber)).toEqual([0, 1, 2, undefined, 0, 1]);
    readers[0]?.close();
    for (const [i, { sequenceNumber, subSequenceNumber = 0 }] of all.entries()) {
      if (i === all.length - 1) break;
      const reader = readerFrom({ type: 'AT_SEQUENCE_NUMBER', done: { sequenceNumber, subSequenceNumber } });
      expect(texts(await read(reader, 5 - i))).toEqual(texts(all.slice(i + 1)));
      reader.close();
      if (subject.mode === 'fanout') await subject.clock.sleep(5_000); // else each waits out the one before
    }
  });

  it('tells the end of a shard, and who took over', async () => {
    await put('1');
    await client.send(
      new MergeShardsCommand({ StreamName: stream, ShardToMerge: SHARD, AdjacentShardToMerge: OTHER_SHARD }),
    );
    await streamActive(client, stream);
    const reader = readerFrom(HORIZON);
    const batches: FetchedBatch[] = [];
    do batches.push(await next(reader));
    while (!batches.at(-1)?.ended);
    expect(texts(batches.flatMap(({ records }) => records))).toEqual(['1']);
    expect(batches.at(-1)?.childShardIds).toEqual(['shardId-000000000002']);
  });

  it('stops when it is told to, also while it waits', async () => {
    const reader = readerFrom(HORIZON);
    const stop = new AbortController();
    const waiting = (async () => {
      for (;;) await reader.next(stop.signal, () => {});
    })();
    await subject.clock.sleep(300);
    stop.abort();
    await expect(waiting).rejects.toBeInstanceOf(StoppedError);
    reader.close();
    await expect(next(reader)).rejects.toBeInstanceOf(StoppedError);
  });

  it('tells of progress only while somebody waits for records', async () => {
    const reader = readerFrom(HORIZON);
    let ticks = 0;
    await reader.next(AbortSignal.timeout(15_000), () => ticks++);
    const then = ticks;
    expect(then).toBeGreaterThan(0);
    await subject.clock.sleep(1_000); // it goes on reading
    expect(ticks).toBe(then);
  });
});

describe.each([
  ['polling the double', 'polling'],
  ['fan-out from the double', 'fanout'],
] as const)('a reader, %s', (_, mode) => {
  let double: KinesisDouble;
  beforeEach(() =>
    begin(async () => {
      const made = await onDouble(mode);
      double = made.double;
      return made;
    }),
  );

  it('loses and repeats nothing, whatever befalls its calls, at random', { timeout: 60_000 }, async () => {
    const kinds = [
      () => ({ kind: 'throttle' }) as const,
      () => ({ kind: 'internal-failure' }) as const,
      () => ({ kind: 'http-500' }) as const,
      () => ({ kind: 'lost-answer' }) as const,
      () => ({ kind: 'reset' }) as const,
      () => ({ kind: 'latency', ms: 2_000 }) as const,
    ];
    const inStream = (['cut', 'stall', 'error', 'garble'] as const).map((does) => () => ({
      kind: 'subscription' as const,
      does,
      afterEvents: Math.floor(Math.random() * 4),
    }));
    const all = mode === 'fanout' ? [...kinds, ...inStream] : kinds;
    let befallen = 0;
    double.faults.rule(({ operation }) => {
      const ours = ['GetRecords', 'GetShardIterator', 'SubscribeToShard', 'DescribeStreamConsumer'];
      if (!ours.includes(operation) || (befallen >= 3 && Math.random() < 0.4)) return undefined;
      befallen++;
      if (Math.random() < 0.1) double.expireIterators();
      return all[Math.floor(Math.random() * all.length)]?.();
    });
    const reader = readerFrom(HORIZON);
    const reading = read(reader, 300);
    for (let i = 0; i < 300; i += 10) {
      await put(...numbers(i, i + 5), aggregate(...numbers(i + 5, i + 10)));
      await subject.clock.sleep(Math.random() * 2_000);
    }
    expect(texts(await reading)).toEqual(numbers(0, 300));
    double.faults.clear();
    await put('last');
    expect(texts(await read(reader, 1))).toEqual(['last']);
    expect(befallen).toBeGreaterThanOrEqual(3);
  });

  it('reads ahead by the byte budget, and one batch when it is used up', async () => {
    const budget = new ByteBudget(2 * MIB);
    const big = 'x'.repeat(MIB / 2);
    for (let i = 0; i < 12; i++) {
      await put(`${i}${big}`);
      await subject.clock.sleep(1_000);
    }
    double.setLimits({ readBytesPerCall: MIB });
    const reader = readerFrom(HORIZON, { budget });
    const first = await next(reader);
    await subject.clock.sleep(30_000);
    expect(budget.used).toBeGreaterThanOrEqual(2 * MIB);
    expect(budget.used).toBeLessThanOrEqual(3 * MIB + 100);
    const rest = await read(reader, 12 - first.records.length);
    expect(texts([...first.records, ...rest]).map((text) => text.replace(/x+/, ''))).toEqual(numbers(0, 12));
    reader.close();
    expect(budget.used).toBe(0);
  });
});

describe('a reader by fan-out', () => {
  let double: KinesisDouble;
  const onItsDouble = (mode: Subject['mode'], options: object = {}) =>
    begin(async () => {
      const made = await onDouble(mode, options);
      double = made.double;
      return made;
    });

  it('renews its subscription before its time is over, without a gap', async () => {
    await onItsDouble('fanout');
    const reader = readerFrom(HORIZON, { renewAfterMs: 6_000 });
    const reading = read(reader, 100);
    for (let i = 0; i < 100; i += 5) {
      await put(...numbers(i, i + 5));
      await subject.clock.sleep(1_000);
    }
    expect(texts(await reading)).toEqual(numbers(0, 100));
    expect(double.calls.get('SubscribeToShard')).toBeGreaterThan(2);
  });

  it('goes on when the service ends the subscription, and when it stalls', async () => {
    await onItsDouble('fanout', { subscriptionMs: 8_000 });
    double.faults.next({ kind: 'subscription', does: 'stall', afterEvents: 1 });
    const reader = readerFrom(HORIZON);
    await put('0');
    expect(texts(await read(reader, 1))).toEqual(['0']);
    const reading = read(reader, 20);
    for (let i = 1; i <= 20; i++) {
      await put(String(i));
      await subject.clock.sleep(1_500);
    }
    expect(texts(await reading)).toEqual(numbers(1, 21));
    expect(double.calls.get('SubscribeToShard')).toBeGreaterThan(2);
  });

  it('takes a shard over from another worker, which gives way', async () => {
    await onItsDouble('fanout');
    const first = readerFrom(HORIZON);
    await put('1');
    expect(texts(await read(first, 1))).toEqual(['1']);
    await subject.clock.sleep(5_000);
    const second = readerFrom(HORIZON);
    expect(texts(await read(second, 1))).toEqual(['1']);
    const before = double.calls.get('SubscribeToShard') ?? 0;
    await subject.clock.sleep(3_000);
    expect(double.calls.get('SubscribeToShard')).toBe(before); // not fought over: it waits five seconds
    await put('2');
    expect(texts(await read(second, 1))).toEqual(['2']);
  });

  it('waits longer for what takes longer than Kinesis is silent, so that it comes at last', async () => {
    await onItsDouble('fanout');
    await put('1');
    double.faults.rule(({ operation }) =>
      operation === 'SubscribeToShard' ? { kind: 'latency', ms: 20_000 } : undefined,
    );
    expect(texts(await read(readerFrom(HORIZON, { stallMs: 8_000 }), 1))).toEqual(['1']);
    expect(double.calls.get('SubscribeToShard')).toBeGreaterThan(2);
  });

  it('tells that it is subscribed as progress, before the first event comes', async () => {
    await onItsDouble('fanout');
    await put('1');
    double.faults.next({ kind: 'subscription', does: 'stall' });
    const subscriptions: number[] = [];
    const reader = readerFrom(HORIZON);
    await reader.next(AbortSignal.timeout(15_000), () => {
      subscriptions.push(double.calls.get('SubscribeToShard') ?? 0);
    });
    // Once when the first one was opened, and again before the second.
    expect(subscriptions.filter((count) => count === 1).length).toBeGreaterThan(2);
  });

  it('waits out a subscription that is younger than five seconds', async () => {
    await onItsDouble('fanout');
    const first = readerFrom(HORIZON);
    await put('1');
    await read(first, 1);
    first.close();
    expect(texts(await read(readerFrom(HORIZON), 1))).toEqual(['1']);
  });

  it('says what to do when its consumer is not registered and it may not register it', async () => {
    await onItsDouble('fanout');
    const reader = readerFrom(HORIZON, { register: false });
    const waiting = reader.next(AbortSignal.timeout(400), () => {});
    await expect(waiting).rejects.toBeInstanceOf(StoppedError);
    expect(double.calls.get('RegisterStreamConsumer')).toBeUndefined();
    expect(double.calls.get('DescribeStreamConsumer')).toBeGreaterThan(0);
  });

  it('polls by FETCH=auto when it may not subscribe', async () => {
    await onItsDouble('auto');
    await put('1');
    const reader = readerFrom(HORIZON, { register: false });
    expect(texts(await read(reader, 1))).toEqual(['1']);
    expect(double.calls.get('GetRecords')).toBeGreaterThan(0);
  });

  it('subscribes by FETCH=auto when it may', async () => {
    await onItsDouble('auto');
    await put('1');
    expect(texts(await read(readerFrom(HORIZON), 1))).toEqual(['1']);
    expect(double.calls.get('GetRecords')).toBeUndefined();
  });

  it('polls by FETCH=auto until it may subscribe again, and loses and repeats nothing', async () => {
    await onItsDouble('auto');
    await put('1');
    const reader = readerFrom(HORIZON, { register: false });
    expect(texts(await read(reader, 1))).toEqual(['1']);
    const { StreamDescriptionSummary } = await client.send(
      new DescribeStreamSummaryCommand({ StreamName: stream }),
    );
    const StreamARN = StreamDescriptionSummary?.StreamARN;
    await client.send(new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: 'app' }));
    await put('2');
    expect(texts(await read(reader, 1))).toEqual(['2']);
    expect(double.calls.get('SubscribeToShard')).toBeUndefined();
    // Its minute is 1.2 s here.
    const deadline = performance.now() + 10_000;
    for (let n = 3; !double.calls.has('SubscribeToShard'); n++) {
      expect(performance.now()).toBeLessThan(deadline);
      await put(String(n));
      expect(texts(await read(reader, 1))).toEqual([String(n)]);
    }
    await put('pushed');
    expect(texts(await read(reader, 1))).toEqual(['pushed']);
    const polls = double.calls.get('GetRecords');
    await put('pushed too');
    expect(texts(await read(reader, 1))).toEqual(['pushed too']);
    expect(double.calls.get('GetRecords')).toBe(polls);
  });

  it('polls by FETCH=auto what it may no longer subscribe to, while an older subscription goes on', async () => {
    await onItsDouble('auto');
    const sources = sourcesOf();
    await put('0');
    const subscribed = readerFrom(HORIZON, { sources });
    expect(texts(await read(subscribed, 1))).toEqual(['0']);
    let refused = 0;
    double.faults.rule(({ operation }) => {
      if (operation !== 'SubscribeToShard') return undefined;
      refused++;
      return { kind: 'subscription', does: 'error', type: 'AccessDeniedException' };
    });
    const polled = readerFrom(HORIZON, { sources, shardId: OTHER_SHARD });
    await next(polled);
    const polling = (async () => {
      for (;;) await next(polled);
    })().catch(() => {});
    for (let n = 1; n <= 40; n++) {
      await put(String(n));
      expect(texts(await read(subscribed, 1))).toEqual([String(n)]);
      await subject.clock.sleep(500);
    }
    expect(refused).toBeLessThan(4); // once, and at the trials that are due on a slow machine
    polled.close();
    await polling;
  });

  it('polls by FETCH=auto when the service speaks no HTTP/2', async () => {
    await begin(async () => ({
      endpoint: inject('kinesisEndpoint'),
      clock: systemClock,
      mode: 'auto',
      stop: async () => {},
    }));
    await put('1');
    expect(texts(await read(readerFrom(HORIZON), 1))).toEqual(['1']);
  });
});
