import { readFile } from 'node:fs/promises';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { createDetector, loadDetector, scoresInBatches } from '../../detectors/registry.ts';
import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { EnvOf } from '../../shared/config.ts';
import { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import type { Logger } from '../../shared/log.ts';
import type { Tracing } from '../../shared/tracing.ts';
import { type consumerEnv, detectorParameters, refuseTwice } from '../config.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import { AdaptiveLimit } from '../sinks/adaptive-limit.ts';
import { BatchWriter, type BatchWriterDeps } from '../sinks/batch-writer.ts';
import { DeadLetterSink, deadLetterKey, deadLetterKeyWith } from '../sinks/dead-letters.ts';
import { recordKey, recordKeyWith } from '../sinks/item.ts';
import { stateKey, stateKeyWith } from '../sinks/rollup-item.ts';
import { ByteBudget } from '../state/state-cache.ts';
import { StateStore } from '../state/state-store.ts';
import { Challengers } from './challengers.ts';
import { Champion } from './champion.ts';
import { Pipeline } from './pipeline.ts';
import type { AnyDetector } from './scoring.ts';

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
  | 'WRITE_RETRY_MS'
  | 'STATE_TABLE'
  | 'STATE_TTL_DAYS'
  | 'STORE'
  | 'ITEM_DAYS'
  | 'CHALLENGERS'
  | 'CHALLENGER_LIMIT_MICROS'
  | 'DEDUPE_WINDOW'
  | 'STATE_CACHE_BYTES'
>;

export interface PipelineContext {
  dynamodb: DynamoDBClient;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
  /** Left out: no spans. */
  tracing?: Tracing | undefined;
}

export interface AssembledPipeline {
  pipeline: Pipeline;
  /** What bounds its calls, of each table. */
  limits: readonly AdaptiveLimit[];
  close: () => void;
}

/** Ids of a source that are kept by `DEDUPE_WINDOW=auto`: more than two whole PutRecords calls hold of one source, as a rule. */
const DEDUPE_WINDOW = 256;

/**
 * The pipeline with its sinks as the configuration says: one composition for pod, Lambda function and tests.
 *
 * @throws ConfigError for a detector that can't be made, or a challenger that is the champion.
 */
export async function createPipeline(
  config: PipelineConfig,
  context: PipelineContext,
): Promise<AssembledPipeline> {
  const parameters = detectorParameters(config);
  const make = async (name: string): Promise<AnyDetector> =>
    scoresInBatches(name, parameters)
      ? loadDetector(name, parameters, { readModel: (path) => readFile(path) })
      : createDetector(name, parameters);
  const champion = await make(config.DETECTOR);
  const challengers = await Promise.all(config.CHALLENGERS.map(make));
  return assemblePipeline(config, { champion, challengers }, context);
}

/** The same with detectors as given. */
export function assemblePipeline(
  config: Omit<PipelineConfig, 'DETECTOR' | 'DETECTOR_PARAMS' | 'THRESHOLD' | 'CHALLENGERS'>,
  detectors: { champion: AnyDetector; challengers: readonly AnyDetector[] },
  { dynamodb: client, ...context }: PipelineContext,
): AssembledPipeline {
  const { champion, challengers } = detectors;
  const all = [champion, ...challengers];
  refuseTwice(all.map(({ name }) => name));
  const dynamodb = new DynamoDBJson(client, { maxSockets: config.WRITE_CONCURRENCY * 2 });
  const limits: AdaptiveLimit[] = [];
  const limit = () => {
    const made = new AdaptiveLimit(config.WRITE_CONCURRENCY, context.clock);
    limits.push(made);
    return made;
  };
  const stateLimit = limit();
  const writer = (table: string, keys: Pick<BatchWriterDeps, 'keyOf' | 'keyWith'>, adaptive = limit()) =>
    new BatchWriter({
      ...context,
      ...keys,
      dynamodb,
      table,
      retryMs: config.WRITE_RETRY_MS,
      limit: adaptive,
    });
  const rollups = config.STORE === 'anomalies';
  const keepsState = rollups || all.some(({ stateless }) => !stateless);
  const auto = keepsState ? DEDUPE_WINDOW : 0;
  const pipeline = new Pipeline({
    ...context,
    stream: config.STREAM_NAME,
    champion: new Champion({ ...context, detector: champion }),
    challengers: new Challengers({
      ...context,
      detectors: challengers,
      limitMicros: config.CHALLENGER_LIMIT_MICROS,
    }),
    layout: {
      detectors: all,
      dedupeWindow: config.DEDUPE_WINDOW === 'auto' ? auto : config.DEDUPE_WINDOW,
      rollups,
    },
    store: config.STORE,
    itemDays: config.ITEM_DAYS,
    records: writer(config.RECORDS_TABLE, { keyOf: recordKey, keyWith: recordKeyWith }),
    rollups: writer(config.STATE_TABLE, { keyOf: stateKey, keyWith: stateKeyWith }, stateLimit),
    deadLetters: new DeadLetterSink(
      writer(config.DEAD_LETTER_TABLE, { keyOf: deadLetterKey, keyWith: deadLetterKeyWith }),
      config.STREAM_NAME,
    ),
    states: new StateStore({
      ...context,
      dynamodb,
      table: config.STATE_TABLE,
      ttlDays: config.STATE_TTL_DAYS,
      limit: stateLimit,
    }),
    stateBudget: new ByteBudget(config.STATE_CACHE_BYTES, context.metrics.stateBytes),
  });
  return { pipeline, limits, close: () => dynamodb.close() };
}
