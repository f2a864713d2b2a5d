import type { EventLoopUtilization } from 'node:perf_hooks';
import { awsOptions, createDynamoDBClient, createKinesisClient } from '../shared/aws.ts';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { EnvOf } from '../shared/config.ts';
import { listShardsAt } from '../shared/list-shards.ts';
import type { Logger } from '../shared/log.ts';
import type { Progress } from '../shared/progress.ts';
import type { Tracing } from '../shared/tracing.ts';
import { checkpointInterval, type consumerEnv } from './config.ts';
import { createReaders } from './fetch/readers.ts';
import { leaseCallTimeoutMs } from './leases/held-lease.ts';
import { DynamoDBLeaseStore } from './leases/lease-store.ts';
import { readFrom } from './lineage/lineage.ts';
import type { ConsumerMetrics } from './metrics.ts';
import { createPipeline } from './pipeline/create-pipeline.ts';
import { Worker, type WorkerDeps } from './worker.ts';
import { WorkerLoad } from './worker-load.ts';

export interface ConsumerContext {
  progress: Progress;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
  /** Left out: no spans. */
  tracing?: Tracing | undefined;
  /** Left out: the process is the worker's own. */
  eventLoop?: () => EventLoopUtilization;
  /** In real ms, for a `clock` that is quicker; left out: `leaseCallTimeoutMs`. */
  leaseCallTimeoutMs?: number;
}

/** All that a pod consumes with, but for its server. */
export interface Consumer {
  /** The pod's member of the group, not yet started; once a process. */
  join(worker: WorkerDeps['worker'], poke: WorkerDeps['poke']): Worker;
  /** Ends clients and pipeline; to be called when the member has stopped. */
  close(): void;
}

/**
 * Clients, readers, pipeline and leases as the configuration says: one composition for the pod and for the fault suite.
 *
 * @throws ConfigError as `createPipeline` does.
 */
export async function createConsumer(
  config: EnvOf<typeof consumerEnv>,
  context: ConsumerContext,
): Promise<Consumer> {
  const { clock, random } = context;
  const kinesis = createKinesisClient(awsOptions(config));
  const dynamodb = createDynamoDBClient(awsOptions(config));
  // Sockets and patience of their own: neither writes that queue up nor one call that hangs may cost a lease.
  const leaseTable = createDynamoDBClient({
    ...awsOptions(config),
    requestTimeoutMs: context.leaseCallTimeoutMs ?? leaseCallTimeoutMs(config.LEASE_DURATION_MS),
  });
  const { pipeline, limits, close: closePipeline } = await createPipeline(config, { ...context, dynamodb });
  const readers = createReaders(config, kinesis, context);
  const stream = config.STREAM_NAME;
  const startingPosition = config.STARTING_POSITION;
  return {
    join: (worker, poke) =>
      new Worker({
        ...context,
        worker,
        poke,
        store: new DynamoDBLeaseStore(leaseTable, config.LEASE_TABLE),
        listShards: () => listShardsAt(kinesis, stream),
        stream,
        startingPosition,
        leaseDurationMs: config.LEASE_DURATION_MS,
        load: new WorkerLoad(clock, limits, context.eventLoop),
        shard: {
          createReader: ({ lease }) => readers.open(lease, readFrom(lease, startingPosition, clock.now())),
          openProcessor: (held) => pipeline.open(held.lease),
          checkpointIntervalMs: checkpointInterval(config.CHECKPOINT_INTERVAL_MS, pipeline.stateful),
          random,
        },
      }),
    close: () => {
      readers.close();
      kinesis.destroy();
      dynamodb.destroy();
      leaseTable.destroy();
      closePipeline();
    },
  };
}
