import { MergeShardsCommand } from '@aws-sdk/client-kinesis';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import type { KinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { streamActive } from '../../testkit/provision.ts';
import { StoppedError } from '../errors.ts';
import { ByteBudget } from './byte-budget.ts';
import {
  aggregate,
  HORIZON,
  MIB,
  next,
  numbers,
  OTHER_SHARD,
  onDouble,
  read,
  SHARD,
  type Subject,
  Trial,
  texts,
} from './fixtures.ts';

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

describe.each(Object.entries(SUBJECTS))('a reader, %s', (_, make) => {
  let trial: Trial;
  beforeEach(async () => {
    trial = await Trial.begin(await make());
  });
  afterEach(() => trial.end());

  it('reads from the beginning, on from a record, and from a time', async () => {
    await trial.put('1', '2');
    const [first] = await read(trial.readerFrom(HORIZON), 2);
    const done = { sequenceNumber: first!.sequenceNumber, subSequenceNumber: 0 };
    const reader = trial.readerFrom({ type: 'AT_SEQUENCE_NUMBER', done });
    expect(texts(await read(reader, 1))).toEqual(['2']);
    reader.close();
    await trial.subject.clock.sleep(1_100);
    const timestamp = trial.subject.clock.now() - 100;
    await trial.put('3');
    expect(texts(await read(trial.readerFrom({ type: 'AT_TIMESTAMP', timestamp }), 1))).toEqual(['3']);
  });

  it('takes aggregates apart, and goes on inside one where a checkpoint cut it', async () => {
    await trial.put(aggregate('a', 'b', 'c'), 'd', aggregate('e', 'f'));
    const first = trial.readerFrom(HORIZON);
    const all = await read(first, 6);
    expect(texts(all)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(all.map(({ subSequenceNumber }) => subSequenceNumber)).toEqual([0, 1, 2, undefined, 0, 1]);
    first.close();
    for (const [i, { sequenceNumber, subSequenceNumber = 0 }] of all.entries()) {
      if (i === all.length - 1) break;
      const reader = trial.readerFrom({
        type: 'AT_SEQUENCE_NUMBER',
        done: { sequenceNumber, subSequenceNumber },
      });
      expect(texts(await read(reader, 5 - i))).toEqual(texts(all.slice(i + 1)));
      reader.close();
      if (trial.subject.mode === 'fanout') await trial.subject.clock.sleep(5_000); // else each waits out the one before
    }
  });

  it('tells the end of a shard, and who took over', async () => {
    await trial.put('1');
    await trial.client.send(
      new MergeShardsCommand({
        StreamName: trial.stream,
        ShardToMerge: SHARD,
        AdjacentShardToMerge: OTHER_SHARD,
      }),
    );
    await streamActive(trial.client, trial.stream);
    const reader = trial.readerFrom(HORIZON);
    const batches: Awaited<ReturnType<typeof next>>[] = [];
    do batches.push(await next(reader));
    while (!batches.at(-1)?.ended);
    expect(texts(batches.flatMap(({ records }) => records))).toEqual(['1']);
    expect(batches.at(-1)?.childShardIds).toEqual(['shardId-000000000002']);
  });

  it('stops when it is told to, also while it waits', async () => {
    const reader = trial.readerFrom(HORIZON);
    const stop = new AbortController();
    const waiting = (async () => {
      for (;;) await reader.next(stop.signal, () => {});
    })();
    await trial.subject.clock.sleep(300);
    stop.abort();
    await expect(waiting).rejects.toBeInstanceOf(StoppedError);
    reader.close();
    await expect(next(reader)).rejects.toBeInstanceOf(StoppedError);
  });

  it('tells of progress only while somebody waits for records', async () => {
    const reader = trial.readerFrom(HORIZON);
    let ticks = 0;
    await reader.next(AbortSignal.timeout(15_000), () => ticks++);
    const then = ticks;
    expect(then).toBeGreaterThan(0);
    await trial.subject.clock.sleep(1_000); // it goes on reading
    expect(ticks).toBe(then);
  });
});

describe.each([
  ['polling the double', 'polling'],
  ['fan-out from the double', 'fanout'],
] as const)('a reader, %s', (_, mode) => {
  let trial: Trial;
  let double: KinesisDouble;
  beforeEach(async () => {
    const subject = await onDouble(mode);
    double = subject.double;
    trial = await Trial.begin(subject);
  });
  afterEach(() => trial.end());

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
    const lies = [
      '{}',
      '[]',
      'null',
      '{"Records":null}',
      '{"Records":[],"ChildShards":[]}',
      '{"Records":[{}]}',
    ];
    const lie = () =>
      ({ kind: 'answer', text: lies[Math.floor(Math.random() * lies.length)] as string }) as const;
    const all = mode === 'fanout' ? [...kinds, ...inStream] : [...kinds, lie];
    let befallen = 0;
    double.faults.rule(({ operation }) => {
      const ours = ['GetRecords', 'GetShardIterator', 'SubscribeToShard', 'DescribeStreamConsumer'];
      if (!ours.includes(operation) || (befallen >= 3 && Math.random() < 0.4)) return undefined;
      befallen++;
      if (Math.random() < 0.1) double.expireIterators();
      return all[Math.floor(Math.random() * all.length)]?.();
    });
    const reader = trial.readerFrom(HORIZON);
    const reading = read(reader, 300);
    for (let i = 0; i < 300; i += 10) {
      await trial.put(...numbers(i, i + 5), aggregate(...numbers(i + 5, i + 10)));
      await trial.subject.clock.sleep(Math.random() * 2_000);
    }
    expect(texts(await reading)).toEqual(numbers(0, 300));
    double.faults.clear();
    await trial.put('last');
    expect(texts(await read(reader, 1))).toEqual(['last']);
    expect(befallen).toBeGreaterThanOrEqual(3);
  });

  it('reads ahead by the byte budget, and one batch when it is used up', async () => {
    const budget = new ByteBudget(2 * MIB);
    const big = 'x'.repeat(MIB / 2);
    for (let i = 0; i < 12; i++) {
      await trial.put(`${i}${big}`);
      await trial.subject.clock.sleep(1_000);
    }
    double.setLimits({ readBytesPerCall: MIB });
    const reader = trial.readerFrom(HORIZON, { budget });
    const first = await next(reader);
    await trial.subject.clock.sleep(30_000);
    expect(budget.used).toBeGreaterThanOrEqual(2 * MIB);
    expect(budget.used).toBeLessThanOrEqual(3 * MIB + 20_000);
    const rest = await read(reader, 12 - first.records.length);
    expect(texts([...first.records, ...rest]).map((text) => text.replace(/x+/, ''))).toEqual(numbers(0, 12));
    reader.close();
    expect(budget.used).toBe(0);
  });
});
