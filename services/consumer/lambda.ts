/**
 * The consumer as a function behind an event source mapping of Kinesis: `main.handler` of the bundle. What is made here
 * outlives an invocation, not the sandbox.
 */
import { awsOptions, createDynamoDBClient, createKinesisClient } from '../shared/aws.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { parseEnv } from '../shared/config.ts';
import { listShards } from '../shared/list-shards.ts';
import { createLogger } from '../shared/log.ts';
import { createRegistry } from '../shared/metrics.ts';
import { lambdaEnv } from './config.ts';
import { createHandler } from './lambda/handler.ts';
import { ShardRanges } from './lambda/shard-ranges.ts';
import { createConsumerMetrics } from './metrics.ts';
import { createPipeline } from './pipeline/create-pipeline.ts';

const config = parseEnv(lambdaEnv, process.env);
const log = createLogger('consumer-lambda', config.LOG_LEVEL);
const metrics = createConsumerMetrics(createRegistry('consumer-lambda'));
const kinesis = createKinesisClient(awsOptions(config));
const { pipeline } = await createPipeline(config, {
  dynamodb: createDynamoDBClient(awsOptions(config)),
  clock,
  random: Math.random,
  log,
  metrics,
});

export const handler = createHandler({
  stream: config.STREAM_NAME,
  openProcessor: (shard) => pipeline.open(shard),
  ranges: new ShardRanges(
    pipeline.stateful || config.STRAY_RECORDS === 'quarantine'
      ? (signal) => listShards(kinesis, config.STREAM_NAME, signal)
      : undefined,
  ),
  aggregates: { corrupt: config.CORRUPT_AGGREGATES, stray: config.STRAY_RECORDS },
  deadLetters: async () => {
    const { values } = await metrics.deadLetters.get();
    return values.reduce((sum, { value }) => sum + value, 0);
  },
  clock,
  log,
  emit: (line) => process.stdout.write(`${line}\n`),
});
