import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { pino } from 'pino';
import { systemClock as clock } from '../../shared/clock.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { type PipelineOptions, testPipeline, WHOLE_RANGE } from '../pipeline/fixtures.ts';
import { createHandler, type Handler } from './handler.ts';
import { ShardRanges } from './shard-ranges.ts';

export const SHARD = 'shardId-000000000000';
export const STREAM_ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/stream';

/** A sandbox of the function: sandboxes share nothing but the tables. */
export function newSandbox(
  dynamodb: DynamoDBClient,
  resources: Parameters<typeof testPipeline>[1],
  options: PipelineOptions = {},
  list?: (signal: AbortSignal) => Promise<ShardInfo[]>,
): { handler: Handler; lines: string[]; close: () => void } {
  const { pipeline, close, registry } = testPipeline(dynamodb, resources, options);
  const lines: string[] = [];
  const shard = { shardId: SHARD, parentShardIds: [], hashKeyRange: WHOLE_RANGE, open: true };
  const handler = createHandler({
    stream: 'stream',
    openProcessor: (identity) => pipeline.open(identity),
    ranges: new ShardRanges(list ?? (async () => [shard])),
    aggregates: { corrupt: 'quarantine', stray: 'accept' },
    deadLetters: async () => {
      const metric = await registry.getSingleMetric('weir_consumer_dead_letters_total')?.get();
      return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
    },
    clock,
    log: pino({ level: 'silent' }),
    emit: (line) => lines.push(line),
  });
  return { handler, lines, close };
}

export const timeLeft = (ms: number) => {
  const end = performance.now() + ms;
  return { getRemainingTimeInMillis: () => end - performance.now() };
};

export function mapped(n: number, partitionKey: string, data: string | Uint8Array) {
  return {
    partitionKey,
    sequenceNumber: String(1_000 + n),
    data: typeof data === 'string' ? Buffer.from(data) : data,
    arrivedAt: 1_700_000_000_000 + n,
  };
}
export const event = (n: number, source: string, amount = n) =>
  JSON.stringify({ source, amount, request_id: `id-${n}` });

/** Offline: each series' scores in the order of the shard, by the chain detector of the fixtures. */
export function chainScores(records: readonly { partitionKey: string; data: Uint8Array }[]) {
  const values = new Map<string, number>();
  const scores: [string, number, number][] = [];
  for (const { partitionKey, data } of records) {
    for (const [, text] of Buffer.from(data)
      .toString('latin1')
      .matchAll(/(\{"source":.*?\})/g)) {
      const { source, amount, request_id } = JSON.parse(text ?? '');
      const series = source === partitionKey ? source : `${source} in ${partitionKey}`;
      const value = ((values.get(series) ?? 7) * 33 + amount) % 1_000_003;
      values.set(series, value);
      scores.push([request_id, amount, value]);
    }
  }
  return scores.sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
}
