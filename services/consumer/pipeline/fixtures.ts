import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { pino } from 'pino';
import type { Detector, Verdict } from '../../detectors/detector.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { createConsumerMetrics } from '../metrics.ts';
import type { StreamRecord } from '../record.ts';
import { assemblePipeline } from './create-pipeline.ts';
import type { AnyDetector } from './scoring.ts';

/** Every hash key: a stream of one shard. */
export const WHOLE_RANGE = { starting: '0', ending: String(2n ** 128n - 1n) };
const SHARD = 'shardId-000000000000';

interface Chain {
  value: number;
}

/**
 * A detector whose score follows from all amounts of its source before, in their order: a record that is left out, scored
 * twice or out of order changes each score after it.
 */
export function chainDetector(name = 'chain', version = 1): Detector<Chain> {
  return {
    name,
    stateVersion: version,
    stateless: false,
    initial: () => ({ value: 7 }),
    score: (state, { amount }) => {
      state.value = (state.value * 33 + amount) % 1_000_003;
      return { score: state.value, isAnomaly: state.value % 10 === 0, method: `${name}_v${version}` };
    },
    encode: ({ value }) => Buffer.from(String(value)),
    decode: (bytes, from) => {
      if (from !== version) throw new Error(`version ${from}`);
      return { value: Number(Buffer.from(bytes).toString()) };
    },
  };
}

export interface PipelineOptions {
  champion?: AnyDetector;
  challengers?: readonly AnyDetector[];
  store?: 'all' | 'anomalies';
  dedupeWindow?: number | 'auto';
  cacheBytes?: number;
  clock?: Clock;
  challengerLimitMicros?: number;
  writeRetryMs?: number;
}

/** A pipeline on the tables of a test, with its registry. */
export function testPipeline(
  dynamodb: DynamoDBClient,
  tables: Readonly<Record<'recordsTable' | 'stateTable' | 'deadLetterTable' | 'stream', string>>,
  options: PipelineOptions = {},
) {
  const registry = createRegistry('test');
  const { pipeline, close } = assemblePipeline(
    {
      STREAM_NAME: tables.stream,
      RECORDS_TABLE: tables.recordsTable,
      STATE_TABLE: tables.stateTable,
      DEAD_LETTER_TABLE: tables.deadLetterTable,
      STORE: options.store ?? 'all',
      ITEM_DAYS: 0,
      DEDUPE_WINDOW: options.dedupeWindow ?? 'auto',
      CHALLENGER_LIMIT_MICROS: options.challengerLimitMicros ?? 1e6,
      STATE_CACHE_BYTES: options.cacheBytes ?? 10_000_000,
      STATE_TTL_DAYS: 90,
      WRITE_CONCURRENCY: 8,
      WRITE_RETRY_MS: options.writeRetryMs ?? 30_000,
    },
    { champion: options.champion ?? chainDetector(), challengers: options.challengers ?? [] },
    {
      dynamodb,
      clock: options.clock ?? systemClock,
      random: () => 0.01,
      log: pino({ level: 'silent' }),
      metrics: createConsumerMetrics(registry),
    },
  );
  return { pipeline, close, registry };
}

/** The n-th record of a shard. */
export function streamRecord(
  n: number,
  source: string,
  amount: number,
  more: { id?: string; shardId?: string; partitionKey?: string } = {},
): StreamRecord {
  const { id = `id-${n}`, shardId = SHARD, partitionKey = source } = more;
  return {
    shardId,
    sequenceNumber: String(1_000 + n),
    partitionKey,
    data: Buffer.from(JSON.stringify({ source, amount, request_id: id })),
    arrivedAt: 1_700_000_000_000 + n * 1_000,
  };
}

/** What the stream comes to when it is replayed offline: the verdicts of the first copies, by id. */
export function replay(records: readonly StreamRecord[], detector: Detector = chainDetector()) {
  const states = new Map<string, unknown>();
  const verdicts = new Map<string, Verdict & { source: string; amount: number; arrivedAt: number }>();
  for (const { data, arrivedAt } of records) {
    const { source, amount, request_id } = JSON.parse(Buffer.from(data).toString());
    if (verdicts.has(request_id)) continue;
    const state = states.get(source) ?? detector.initial();
    states.set(source, state);
    const verdict = detector.score(state, { source, amount, timestamp: arrivedAt });
    verdicts.set(request_id, { ...verdict, source, amount, arrivedAt });
  }
  return { states, verdicts };
}
