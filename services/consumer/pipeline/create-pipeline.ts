import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { createDetector } from '../../detectors/registry.ts';
import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { EnvOf } from '../../shared/config.ts';
import { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import type { Logger } from '../../shared/log.ts';
import { type consumerEnv, detectorParameters } from '../config.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import { AdaptiveLimit } from '../sinks/adaptive-limit.ts';
import { BatchWriter } from '../sinks/batch-writer.ts';
import { DeadLetterSink, deadLetterKey } from '../sinks/dead-letters.ts';
import { recordKey } from '../sinks/item.ts';
import { Pipeline } from './pipeline.ts';

/** What the pipeline reads of the consumer's environment. */
export type PipelineConfig = Pick<
  EnvOf<typeof consumerEnv>,
  | 'STREAM_NAME'
  | 'RECORDS_TABLE'
  | 'DEAD_LETTER_TABLE'
  | 'DETECTOR'
  | 'DETECTOR_PARAMS'
  | 'THRESHOLD'
  | 'WRITE_CONCURRENCY'
>;

export interface PipelineContext {
  dynamodb: DynamoDBClient;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** The pipeline with its sinks as the configuration says: one composition for pod, Lambda function and tests. */
export function createPipeline(
  config: PipelineConfig,
  { dynamodb: client, ...context }: PipelineContext,
): { pipeline: Pipeline; close: () => void } {
  const dynamodb = new DynamoDBJson(client, { maxSockets: config.WRITE_CONCURRENCY * 2 });
  const writer = (table: string, keyOf: typeof recordKey) =>
    new BatchWriter({
      ...context,
      dynamodb,
      table,
      keyOf,
      limit: new AdaptiveLimit(config.WRITE_CONCURRENCY),
    });
  const pipeline = new Pipeline({
    ...context,
    stream: config.STREAM_NAME,
    detector: createDetector(config.DETECTOR, detectorParameters(config)),
    records: writer(config.RECORDS_TABLE, recordKey),
    deadLetters: new DeadLetterSink(writer(config.DEAD_LETTER_TABLE, deadLetterKey), config.STREAM_NAME),
  });
  return { pipeline, close: () => dynamodb.close() };
}
