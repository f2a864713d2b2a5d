import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Detector } from '../../detectors/detector.ts';
import { seededRandom } from '../../testkit/seeded-random.ts';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import { proxiedDynamoDB } from '../../testkit/vitest/proxied-dynamodb.ts';
import { StoppedError } from '../errors.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import {
  chainDetector,
  type PipelineOptions,
  replay,
  streamRecord,
  testPipeline,
  WHOLE_RANGE,
} from './fixtures.ts';

const behind = proxiedDynamoDB();
const own = ownStack();

beforeEach(async () => {
  for (const operation of ['BatchWriteItem', 'UpdateItem', 'BatchGetItem']) behind.proxy.plan(operation);
});

/** A worker that just took the shard: another process, with nothing in memory. */
function worker(options: PipelineOptions = {}): ShardProcessor {
  const { pipeline, close } = testPipeline(behind.client, own.stack.resources, options);
  own.onEnd(close);
  return pipeline.open({ hashKeyRange: WHOLE_RANGE });
}

const never = new AbortController().signal;
const feed = (processor: ShardProcessor, records: readonly StreamRecord[], signal = never) =>
  processor.process(records, signal, () => {});
const flush = (processor: ShardProcessor, signal = never) => processor.flush(signal, () => {});

/** Records of several sources; some come twice, as a producer's retry brings them. */
function stream(count: number, sources = 5): StreamRecord[] {
  return Array.from({ length: count }, (_, n) => {
    const again = n % 11 === 10 ? n - 5 : n; // the same source, a little later, with the same id
    return streamRecord(n, `s${again % sources}`, again, { id: `id-${again}` });
  });
}

/** The tables are those of an offline replay of the stream. */
async function expectReplayed(records: readonly StreamRecord[]): Promise<void> {
  const { verdicts, states } = replay(records);
  const items = await own.stack.records();
  const scores = (list: [string, unknown][]) => Object.fromEntries(list.sort());
  expect(scores(items.map((item) => [String(item.id), item.anomaly_score]))).toEqual(
    scores(Array.from(verdicts, ([id, { score }]) => [id, score])),
  );
  const stored = (await own.stack.states()).filter(({ part }) => part === 'state');
  expect(
    scores(
      stored.map((row) => [
        String(row.series),
        Buffer.from(row['detector:chain@1'] as Uint8Array).toString(),
      ]),
    ),
  ).toEqual(
    scores(Array.from(states, ([source, state]) => [source, String((state as { value: number }).value)])),
  );
  expect(await own.stack.deadLetters()).toEqual([]);
}

describe('a crash', () => {
  const records = stream(120);

  it('in the middle of the results leaves them to be written again', async () => {
    const first = worker();
    const crash = new AbortController();
    behind.proxy.plan('BatchWriteItem', { kind: 'lost-answer' }, ...Array(99).fill({ kind: 'reset' }));
    const processing = feed(first, records, crash.signal);
    const dead = expect(processing).rejects.toBeInstanceOf(StoppedError);
    await vi.waitFor(async () => expect(await own.stack.countRecords()).toBe(25));
    crash.abort();
    await dead;
    behind.proxy.plan('BatchWriteItem');
    // The states in its memory include records whose results are not stored.
    await expect(flush(first)).rejects.toMatchObject({ code: 'processor-failed' });
    expect(await own.stack.states()).toEqual([]);
    const second = worker();
    await feed(second, records);
    await flush(second);
    await expectReplayed(records);
  });

  it('between results and state scores the same again from the same state', async () => {
    await feed(worker(), records.slice(0, 80));
    const second = worker();
    await feed(second, records);
    await flush(second);
    await expectReplayed(records);
  });

  it('between one state and the next passes over what some states include, and no more', async () => {
    const first = worker();
    await feed(first, records.slice(0, 80));
    const crash = new AbortController();
    // Two states are written, one of them without its answer; the others are not.
    behind.proxy.plan(
      'UpdateItem',
      { kind: 'latency', ms: 0 },
      { kind: 'lost-answer' },
      ...Array(99).fill({ kind: 'reset' }),
    );
    const flushing = flush(first, crash.signal);
    const dead = expect(flushing).rejects.toBeInstanceOf(StoppedError);
    await vi.waitFor(async () => expect(await own.stack.states()).toHaveLength(2));
    crash.abort();
    await dead;
    behind.proxy.plan('UpdateItem');
    const second = worker();
    await feed(second, records);
    await flush(second);
    await expectReplayed(records);
  });

  it('between state and checkpoint passes over all that the states include', async () => {
    const first = worker();
    await feed(first, records.slice(0, 80));
    await flush(first);
    const writes = behind.proxy.operations.length;
    const second = worker();
    await feed(second, records.slice(0, 80));
    await flush(second);
    expect(behind.proxy.operations.slice(writes)).toEqual(['BatchGetItem']); // nothing is written again
    await feed(second, records.slice(80));
    await flush(second);
    await expectReplayed(records);
  });
});

describe('a zombie', () => {
  const records = stream(300);

  it('moves no state back, and writes only what the owner wrote', async () => {
    const zombie = worker();
    await feed(zombie, records.slice(0, 100));
    const owner = worker();
    await feed(owner, records.slice(0, 250));
    await flush(owner);
    const before = await own.stack.states();
    await flush(zombie);
    expect(await own.stack.states()).toEqual(before);
    await feed(zombie, records.slice(100, 200));
    await flush(zombie);
    expect(await own.stack.states()).toEqual(before);
    await feed(owner, records.slice(250));
    await flush(owner);
    await expectReplayed(records);
  });

  it('that is ahead of the owner did its results first, so the owner may go on from its state', async () => {
    const zombie = worker();
    const owner = worker();
    await feed(owner, records.slice(0, 100));
    await feed(zombie, records.slice(0, 200));
    await flush(zombie);
    await flush(owner);
    await feed(owner, records.slice(100));
    await flush(owner);
    await expectReplayed(records);
  });
});

describe('states', () => {
  it('make room under a byte budget and come back as they were', async () => {
    const records = stream(200, 40);
    const small = worker({ cacheBytes: 20_000 });
    for (let i = 0; i < records.length; i += 20) await feed(small, records.slice(i, i + 20));
    await flush(small);
    await expectReplayed(records);
  });

  it('of a shard that fell silent make room for those of a busy one', async () => {
    const { pipeline, close } = testPipeline(behind.client, own.stack.resources, { cacheBytes: 200_000 });
    own.onEnd(close);
    const [silent, busy] = [0, 1].map(() => pipeline.open({ hashKeyRange: WHOLE_RANGE }));
    if (!silent || !busy) throw new Error('no processors');
    const quiet = stream(80, 40);
    await feed(silent, quiet.slice(0, 40));
    await feed(silent, quiet.slice(40));
    await feed(silent, [streamRecord(900, 'last', 1)]);
    await flush(silent);
    const records = Array.from({ length: 200 }, (_, n) =>
      streamRecord(n, `b${Math.floor(n / 10) % 2}${n % 10}`, n, {
        id: `b-${n}`,
        shardId: 'shardId-000000000001',
      }),
    );
    const before = behind.proxy.operations.length;
    for (let i = 0; i < records.length; i += 10) await feed(busy, records.slice(i, i + 10));
    const loads = behind.proxy.operations.slice(before).filter((operation) => operation === 'BatchGetItem');
    expect(loads).toHaveLength(2);
    await feed(
      silent,
      quiet.slice(0, 40).map((record, n) => ({ ...record, sequenceNumber: String(2_000 + n) })),
    );
    await flush(silent);
    await flush(busy);
    await expectReplayed([...quiet, streamRecord(900, 'last', 1), ...records]);
  });

  it('come through throttles, lost answers and unprocessed keys', async () => {
    const records = stream(100);
    const throttle = { kind: 'error', status: 400, type: 'ProvisionedThroughputExceededException' } as const;
    behind.proxy.plan('BatchGetItem', throttle, { kind: 'reset' });
    behind.proxy.plan(
      'UpdateItem',
      throttle,
      { kind: 'lost-answer' },
      { kind: 'error', status: 500, type: 'InternalServerError' },
    );
    const owner = worker();
    await feed(owner, records);
    await flush(owner);
    await expectReplayed(records);
  });

  it('pass over a retry across slices and workers, and score a second copy beyond the window again', async () => {
    const records = [1, 2, 3, 4].map((n) => streamRecord(n, 's', n));
    const again = streamRecord(9, 's', 1, { id: 'id-1' });
    const first = worker({ dedupeWindow: 3 });
    await feed(first, records.slice(0, 2));
    await flush(first);
    const second = worker({ dedupeWindow: 3 });
    await feed(second, [{ ...again, sequenceNumber: '1008' }]);
    await flush(second);
    await expectReplayed(records.slice(0, 2));
    const [item] = (await own.stack.records()).filter(({ id }) => id === 'id-1');
    expect(item?.kinesis_metadata).toMatchObject({ sequence_number: '1001' });
    await feed(
      second,
      records.slice(2).map((r, n) => ({ ...r, sequenceNumber: String(1_010 + n) })),
    );
    await feed(second, [{ ...again, sequenceNumber: '1020' }]);
    const [late] = (await own.stack.records()).filter(({ id }) => id === 'id-1');
    expect(late?.kinesis_metadata).toMatchObject({ sequence_number: '1020' });
  });
});

describe('any schedule of crashes, handoffs and zombies', () => {
  it.each(Array.from({ length: 6 }, (_, seed) => seed))(
    'leaves the tables of a replay, seed %i',
    async (seed) => {
      const random = seededRandom(seed);
      const below = (n: number) => Math.floor(random() * n);
      const records = stream(150, 1 + below(8));
      // A window no larger than retries need: a larger one would hide a state that is scored into twice.
      const options = { cacheBytes: random() < 0.3 ? 5_000 : 10_000_000, dedupeWindow: 8 };
      let checkpoint = 0;
      let at = 0;
      let owner = worker(options);
      const zombies: { processor: ShardProcessor; at: number }[] = [];
      const step = async (who: { processor: ShardProcessor; at: number }) => {
        const size = 1 + below(40);
        await feed(who.processor, records.slice(who.at, who.at + size));
        who.at = Math.min(records.length, who.at + size);
      };
      while (checkpoint < records.length) {
        const dice = random();
        const me = { processor: owner, at };
        if (dice < 0.55) await step(me);
        else if (dice < 0.75) {
          await flush(owner);
          checkpoint = at;
        } else {
          // Another worker starts from the checkpoint; this one is dead, or does not know it yet.
          if (dice < 0.87) zombies.push({ ...me });
          owner = worker(options);
          me.at = checkpoint;
        }
        at = me.at;
        const zombie = zombies[below(zombies.length + 1)];
        if (zombie && random() < 0.5) await step(zombie);
        else if (zombie) await flush(zombie.processor);
      }
      for (const { processor } of zombies) await flush(processor);
      await expectReplayed(records);
    },
  );
});

it('decides alike wherever a slice ends, also about a retry of what became a dead letter', async () => {
  const chain = chainDetector();
  const champion: Detector = {
    ...(chain as Detector),
    score: (state, event) => {
      if (event.amount === 5) throw new TypeError('a bug');
      return chain.score(state as never, event);
    },
  };
  const left = async (source: string, from: number, sliceEnds: readonly number[]) => {
    const processor = worker({ champion });
    const records = [4, 5, 5, 6].map((amount, n) =>
      streamRecord(from + n, source, amount, { id: `id-${amount}` }),
    );
    for (const [i, end] of sliceEnds.entries()) {
      await feed(processor, records.slice(sliceEnds[i - 1] ?? 0, end));
    }
    await flush(processor);
    const state = (await own.stack.states()).find(({ series }) => series === source);
    const letters = (await own.stack.deadLetters()).filter(({ partition_key }) => partition_key === source);
    return { state: { ...state, series: '', watermark: '' }, letters: letters.length };
  };
  expect(await left('one', 0, [4])).toEqual(await left('two', 100, [2, 4]));
});
