import { describe, expect, it } from 'vitest';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import { replay, streamRecord, testPipeline, WHOLE_RANGE } from './fixtures.ts';

const own = ownStack();

function worker(): ShardProcessor {
  const { pipeline, close } = testPipeline(own.stack.dynamodb, own.stack.resources, { store: 'anomalies' });
  own.onEnd(close);
  return pipeline.open({ hashKeyRange: WHOLE_RANGE });
}

const { signal } = new AbortController();
const feed = (processor: ShardProcessor, records: readonly StreamRecord[]) =>
  processor.process(records, signal, () => {});
const flush = (processor: ShardProcessor) => processor.flush(signal, () => {});

interface Minute {
  count: number;
  sum: number;
  min: number;
  max: number;
  score_sum: number;
  anomalies: number;
}

/** What the stream comes to, minute by minute: `source minute` → figures. */
function minutesOf(records: readonly StreamRecord[]): Record<string, Minute> {
  const minutes: Record<string, Minute> = {};
  for (const { source, amount, score, isAnomaly, arrivedAt } of replay(records).verdicts.values()) {
    const key = `${source} ${new Date(arrivedAt).toISOString().slice(0, 16)}Z`;
    minutes[key] ??= { count: 0, sum: 0, min: amount, max: amount, score_sum: 0, anomalies: 0 };
    const minute = minutes[key];
    minute.count++;
    minute.sum += amount;
    minute.min = Math.min(minute.min, amount);
    minute.max = Math.max(minute.max, amount);
    minute.score_sum += score;
    minute.anomalies += isAnomaly ? 1 : 0;
  }
  return minutes;
}

/** The same out of the tables: closed minutes are items, the open one is in the state. */
async function storedMinutes(): Promise<Record<string, Minute>> {
  const minutes: Record<string, Minute> = {};
  for (const row of await own.stack.states()) {
    const figures = (row.part === 'state' ? row.rollup : row) as Minute & { minute: string };
    const { count, sum, min, max, score_sum, anomalies } = figures;
    minutes[`${row.series} ${figures.minute}`] = { count, sum, min, max, score_sum, anomalies };
  }
  return minutes;
}

describe('STORE=anomalies', () => {
  it('keeps an item for each anomaly, and all records in absolute figures a minute, through crashes and zombies', async () => {
    // One record a second, of three sources; every eleventh is a retry of an earlier one.
    const records = Array.from({ length: 400 }, (_, n) => {
      const again = n % 11 === 10 ? n - 6 : n;
      return streamRecord(n, `s${again % 3}`, again * 1.5, { id: `id-${again}` });
    });
    const first = worker();
    await feed(first, records.slice(0, 150));
    await flush(first);
    await feed(first, records.slice(150, 260)); // never flushed: dead, or a zombie
    const second = worker();
    await feed(second, records.slice(100, 330));
    await flush(first);
    await flush(second);
    const third = worker();
    await feed(third, records.slice(200));
    await flush(third);

    expect(await storedMinutes()).toEqual(minutesOf(records));
    const anomalies = Array.from(replay(records).verdicts).filter(([, { isAnomaly }]) => isAnomaly);
    expect(anomalies.length).toBeGreaterThan(5);
    expect((await own.stack.records()).map(({ id }) => id).sort()).toEqual(
      anomalies.map(([id]) => id).sort(),
    );
  });

  it('counts a record whose arrival steps back in the minute that is open', async () => {
    const arrivals = [0, 61_000, 59_000, 62_000, 130_000];
    const records = arrivals.map((after, n) => ({
      ...streamRecord(n, 's', n),
      arrivedAt: 1_700_000_040_000 + after, // a whole minute
    }));
    const processor = worker();
    await feed(processor, records);
    await flush(processor);
    const counts = Object.values(await storedMinutes()).map(({ count }) => count);
    expect(counts.sort()).toEqual([1, 1, 3]);
  });
});
