import { hostname } from 'node:os';
import { createAdminServer } from '../shared/admin.ts';
import { awsOptions, createDynamoDBClient, createKinesisClient } from '../shared/aws.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { newRequestId } from '../shared/ids.ts';
import { listShards } from '../shared/list-shards.ts';
import { close, listen, reachableAddress } from '../shared/server.ts';
import { runService } from '../shared/service.ts';
import { checkpointInterval, consumerEnv } from './config.ts';
import { createReaders } from './fetch/readers.ts';
import { DynamoDBLeaseStore } from './leases/lease-store.ts';
import { POKE_PATH, poke } from './leases/poke.ts';
import { readFrom } from './lineage/lineage.ts';
import { createConsumerMetrics } from './metrics.ts';
import { createPipeline } from './pipeline/create-pipeline.ts';
import { Progress } from './progress.ts';
import { Worker } from './worker.ts';

/** Share of the shutdown time for finishing the work in hand; the rest is for the steps after it. */
const GRACE_SHARE = 0.8;

await runService('consumer', consumerEnv, async ({ config, log, registry, shutdown }) => {
  const random = Math.random;
  const metrics = createConsumerMetrics(registry);
  const kinesis = createKinesisClient(awsOptions(config));
  const dynamodb = createDynamoDBClient(awsOptions(config));
  // Sockets and patience of their own: neither writes that queue up nor one call that hangs may cost a lease.
  const leaseTable = createDynamoDBClient({
    ...awsOptions(config),
    requestTimeoutMs: Math.max(1_000, config.LEASE_DURATION_MS / 4),
  });
  const progress = new Progress(clock);
  const stream = config.STREAM_NAME;
  const startingPosition = config.STARTING_POSITION;
  // Unique in each process: a restarted worker must never pass for the one before it.
  const workerId = `${hostname()}-${newRequestId()}`;

  const { pipeline, close: closePipeline } = await createPipeline(config, {
    dynamodb,
    clock,
    random,
    log,
    metrics,
  });
  const readers = createReaders(config, kinesis, { clock, random, log, metrics });
  let worker: Worker | undefined;
  const admin = createAdminServer({
    registry,
    live: () => {
      const stalled = progress.stalled(config.LIVENESS_TIMEOUT_MS);
      return { ok: Object.keys(stalled).length === 0, stalled };
    },
    ready: () => ({
      ok: worker?.ready ?? false,
      worker: workerId,
      workersSeen: worker?.workersSeen ?? 0,
      shards: worker?.shardIds ?? [],
      ...(worker?.ready && worker.shardIds.length === 0
        ? { idle: 'holds no shard: the others hold all there are' }
        : {}),
    }),
    actions: { [POKE_PATH]: () => worker?.look() ?? false },
  });
  const adminPort = await listen(admin, config.ADMIN_PORT, config.HOST);
  const member = new Worker({
    worker: { workerId, address: reachableAddress(config.HOST, adminPort) },
    poke,
    store: new DynamoDBLeaseStore(leaseTable, config.LEASE_TABLE),
    listShards: () => listShards(kinesis, stream),
    startingPosition,
    leaseDurationMs: config.LEASE_DURATION_MS,
    shard: {
      createReader: ({ lease }) => readers.open(lease, readFrom(lease, startingPosition, clock.now())),
      openProcessor: (held) => pipeline.open(held.lease),
      checkpointIntervalMs: checkpointInterval(config.CHECKPOINT_INTERVAL_MS, pipeline.stateful),
      random,
    },
    progress,
    clock,
    log,
    metrics,
  });
  worker = member;
  member.start();
  shutdown.add('worker', () => member.stop(config.SHUTDOWN_TIMEOUT_MS * GRACE_SHARE));
  shutdown.add('admin server', () => close(admin));
  shutdown.add('AWS clients', async () => {
    readers.close();
    kinesis.destroy();
    dynamodb.destroy();
    leaseTable.destroy();
    closePipeline();
  });
  log.info({ admin_port: adminPort, worker: workerId, stream, version: process.version }, 'listening');
});
