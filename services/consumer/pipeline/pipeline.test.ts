import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Detector } from '../../detectors/detector.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import { createConsumerMetrics } from '../metrics.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import { assemblePipeline } from './create-pipeline.ts';

const own = ownStack();

function pipelineWith(detector: Detector): ShardProcessor {
  const { recordsTable, stateTable, deadLetterTable } = own.stack.resources;
  const { pipeline, close } = assemblePipeline(
    {
      STREAM_NAME: 'stream',
      RECORDS_TABLE: recordsTable,
      STATE_TABLE: stateTable,
      DEAD_LETTER_TABLE: deadLetterTable,
      STORE: 'all',
      ITEM_DAYS: 0,
      DEDUPE_WINDOW: 'auto',
      CHALLENGER_LIMIT_MICROS: 100,
      STATE_CACHE_BYTES: 10_000_000,
      STATE_TTL_DAYS: 90,
      WRITE_CONCURRENCY: 4,
      WRITE_RETRY_MS: 30_000,
    },
    { champion: detector, challengers: [] },
    {
      dynamodb: own.stack.dynamodb,
      clock,
      random: Math.random,
      log: pino({ level: 'silent' }),
      metrics: createConsumerMetrics(createRegistry('test')),
    },
  );
  own.onEnd(close);
  return pipeline.open({ hashKeyRange: { starting: '0', ending: String(2n ** 128n - 1n) } });
}

/** What a detector without memory has besides `score`. */
const stateless = {
  stateVersion: 1,
  stateless: true,
  initial: () => undefined,
  encode: () => new Uint8Array(),
  decode: () => undefined,
};

/** Gives each event its number within its source: any event lost, scored twice or out of order changes scores. */
function countingDetector(): Detector & { seen: string[] } {
  const counts = new Map<string, number>();
  const seen: string[] = [];
  return {
    ...stateless,
    name: 'counting',
    seen,
    score(_state, { source, amount }) {
      const score = (counts.get(source) ?? 0) + 1;
      counts.set(source, score);
      seen.push(`${source}:${amount}`);
      return { score, isAnomaly: false, method: 'counting' };
    },
  };
}

function record(n: number, value: unknown): StreamRecord {
  return {
    shardId: 'shardId-000000000000',
    sequenceNumber: String(1000 + n),
    partitionKey: 'key',
    data: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    arrivedAt: 1_700_000_000_000,
  };
}

async function run(pipeline: ShardProcessor, records: StreamRecord[]): Promise<void> {
  await pipeline.process(records, new AbortController().signal, () => {});
}

describe('the pipeline', () => {
  it('scores each record once, in the order of the stream within its source', async () => {
    const detector = countingDetector();
    const pipeline = pipelineWith(detector);
    const records = Array.from({ length: 400 }, (_, n) =>
      record(n, { source: `s${n % 5}`, amount: Math.floor(n / 5) + 1, request_id: `id-${n}` }),
    );
    for (let i = 0; i < records.length; i += 100) await run(pipeline, records.slice(i, i + 100));
    expect(detector.seen).toEqual(records.map((_, n) => `s${n % 5}:${Math.floor(n / 5) + 1}`));
    const items = await own.stack.records();
    expect(items).toHaveLength(400);
    for (const item of items) expect(item.anomaly_score).toBe(item.amount);
  });

  it('writes nothing different when records are processed again', async () => {
    const detector: Detector = {
      ...stateless,
      name: 'd',
      score: (_state, { amount }) => ({ score: amount, isAnomaly: amount > 5, method: 'd' }),
    };
    const records = Array.from({ length: 10 }, (_, n) => record(n, { source: 's', amount: n }));
    await run(pipelineWith(detector), records);
    const first = await own.stack.records();
    await run(pipelineWith(detector), records.slice(3));
    const again = await own.stack.records();
    const strip = (items: Record<string, unknown>[]) =>
      items.map((item) => ({ ...item, processed_at: undefined }));
    expect(strip(again)).toEqual(strip(first));
    expect(
      first
        .filter((item) => item.anomaly_day !== undefined)
        .map((item) => item.amount)
        .sort(),
    ).toEqual([6, 7, 8, 9]);
  });

  it('stores the later of two records with one id, whether they share a batch or not', async () => {
    const records = [1, 2, 3, 4].map((n) =>
      record(n, { source: 's', amount: n, request_id: n < 3 ? 'a' : 'b' }),
    );
    await run(pipelineWith(countingDetector()), [records[0]!, records[1]!, records[2]!]);
    await run(pipelineWith(countingDetector()), [records[3]!]);
    const items = await own.stack.records();
    expect(items.map((item) => [item.id, item.amount]).sort()).toEqual([
      ['a', 2],
      ['b', 4],
    ]);
  });

  it('keeps a record as dead letter when a detector fails on it, and goes on', async () => {
    const pipeline = pipelineWith({
      ...stateless,
      name: 'broken',
      score: (_state, { amount }) => {
        if (amount === 2) throw new TypeError('a bug');
        return { score: 0, isAnomaly: false, method: 'broken' };
      },
    });
    await run(
      pipeline,
      [1, 2, 3].map((n) => record(n, { source: 's', amount: n })),
    );
    expect((await own.stack.records()).map((item) => item.amount).sort()).toEqual([1, 3]);
    expect(await own.stack.deadLetters()).toMatchObject([
      { reason: 'processing-failed', sequence_number: '1002' },
    ]);
  });

  it('stores what the contract says', async () => {
    const pipeline = pipelineWith(countingDetector());
    await run(pipeline, [record(1, { amount: '1.5', nested: { list: [1, null, 'x'], big: 1e300 } })]);
    expect((await own.stack.records())[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      source: 'key',
      amount: 1.5,
      timestamp: '2023-11-14T22:13:20.000Z',
      processed_at: expect.any(String),
      kinesis_metadata: {
        partition_key: 'key',
        sequence_number: '1001',
        approximate_arrival_timestamp: 1_700_000_000,
        shard_id: 'shardId-000000000000',
      },
      anomaly_score: 1,
      is_anomaly: false,
      detection_method: 'counting',
      payload: { nested: { list: [1, null, 'x'], big: '1e+300' } },
    });
  });
});
