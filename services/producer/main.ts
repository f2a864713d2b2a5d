import { createAdminServer } from '../shared/admin.ts';
import { awsOptions, createKinesisClient } from '../shared/aws.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { WeirError } from '../shared/errors.ts';
import { listShards } from '../shared/list-shards.ts';
import { close, listen, SHORT_GRACE_MS } from '../shared/server.ts';
import { runService } from '../shared/service.ts';
import { createTracing } from '../shared/tracing.ts';
import { Quota } from './admission/quota.ts';
import { createAuth } from './auth/create.ts';
import { Batcher } from './batching/batcher.ts';
import { assertRoomForBatches, producerEnv } from './config.ts';
import { buildApp } from './http/app.ts';
import { BodyBudget } from './http/body-reader.ts';
import { createApiServer } from './http/server.ts';
import { IdempotencyWindow } from './ingest/idempotency-window.ts';
import { Ingest } from './ingest/ingest.ts';
import { liveness } from './liveness.ts';
import { createProducerMetrics, observeProducer } from './metrics.ts';
import { Readiness } from './readiness.ts';
import { ShardRouter } from './shards/shard-router.ts';
import { KinesisSink } from './sink/kinesis-sink.ts';

/** What is over the time in which every accepted event is answered, at a stop. */
const STOP_MARGIN_MS = 1_000;
/** A client that was quiet may send this many seconds of its quota at once. */
const QUOTA_BURST_SECONDS = 2;
/** Share of the shutdown time for the requests in hand; the rest is for the steps after it. */
const GRACE_SHARE = 0.8;

/**
 * Node's default of 64 KiB on this version: many small buffers share a slab, and one event that waits for a throttled shard
 * keeps the whole slab of its neighbours, which are long gone. Smaller ones cost 0.03 µs an event and bound that to an eighth.
 */
Buffer.poolSize = 8 * 1024;

await runService('producer', producerEnv, async ({ config, log, registry, shutdown }) => {
  assertRoomForBatches(config);
  const metrics = createProducerMetrics(registry);
  const auth = await createAuth(config, { clock, log, metrics });
  const kinesis = createKinesisClient({
    ...awsOptions(config),
    requestTimeoutMs: config.PUT_TIMEOUT_MS,
    maxAttempts: 1,
  });
  const sink = new KinesisSink(kinesis, config.STREAM_NAME, config.PUT_TIMEOUT_MS);
  const router = new ShardRouter({
    listShards: () => listShards(kinesis, config.STREAM_NAME),
    clock,
    random: Math.random,
    log,
  });
  void router.refresh();
  const batcher = new Batcher({
    sink,
    router,
    limits: {
      sourceOrder: config.SOURCE_ORDER,
      aggregation: config.AGGREGATION,
      lingerMs: config.LINGER_MS,
      maxInFlightCalls: config.MAX_IN_FLIGHT_CALLS,
      eventDeadlineMs: config.EVENT_DEADLINE_MS,
      bufferMaxBytes: config.BUFFER_MAX_BYTES,
      bufferMaxRecords: config.BUFFER_MAX_RECORDS,
      bufferMaxAgeMs: config.BUFFER_MAX_AGE_MS,
    },
    clock,
    random: Math.random,
    log,
    metrics,
  });
  const budget = new BodyBudget(config.BODIES_MAX_BYTES);
  const window = new IdempotencyWindow(
    { maxBytes: config.IDEMPOTENCY_WINDOW_BYTES, maxAgeMs: config.IDEMPOTENCY_WINDOW_MS },
    () => clock.monotonic(),
  );
  observeProducer(registry, batcher, {
    bodyBytes: () => budget.heldBytes,
    windowBytes: () => window.bytes,
  });
  const readiness = new Readiness(batcher);
  const quota = (perSecond: number) => new Quota(perSecond, perSecond * QUOTA_BURST_SECONDS);
  const ingest = new Ingest({
    batcher,
    window,
    clientQuota: quota(config.CLIENT_EVENTS_PER_SECOND),
    sourceQuota: quota(config.SOURCE_EVENTS_PER_SECOND),
    maxEventBytes: config.MAX_EVENT_BYTES,
    clock,
  });
  const tracing = await createTracing('weir-producer', config);
  const app = buildApp({
    tracing,
    ingest,
    refusal: (bytes) => batcher.refusal(bytes),
    budget,
    readiness: () => readiness.report(),
    draining: () => readiness.draining,
    clock,
    log,
    metrics,
    maxEventBytes: config.MAX_EVENT_BYTES,
    maxBatchBytes: config.MAX_BATCH_BYTES,
    maxBatchEvents: config.MAX_BATCH_EVENTS,
    trustProxy: config.TRUST_PROXY,
    authenticator: auth.authenticator,
    auth: config.AUTH,
    corsOrigins: config.CORS_ORIGINS,
  });
  const server = createApiServer(app, {
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    idleTimeoutMs:
      config.REQUEST_TIMEOUT_MS + config.EVENT_DEADLINE_MS + config.PUT_TIMEOUT_MS + STOP_MARGIN_MS,
    maxConnections: config.MAX_CONNECTIONS,
    metrics,
  });
  const admin = createAdminServer({
    registry,
    live: () => liveness(batcher, config),
    ready: () => readiness.report(),
  });

  const adminPort = await listen(admin, config.ADMIN_PORT, config.HOST);
  const port = await listen(server, config.PORT, config.HOST);
  const probing = readiness.probe(() => sink.check(), clock, log);
  let notStoredBefore = 0;
  shutdown.add('HTTP server', async () => {
    notStoredBefore = batcher.notStored;
    readiness.drain();
    // Load balancers go on sending until they have seen that this pod isn't ready.
    await clock.sleep(config.DRAIN_DELAY_MS);
    // By then every accepted event is answered: who still holds a connection is slowly sending a request.
    const graceMs = Math.min(
      config.EVENT_DEADLINE_MS + config.PUT_TIMEOUT_MS + STOP_MARGIN_MS,
      (config.SHUTDOWN_TIMEOUT_MS - config.DRAIN_DELAY_MS) * GRACE_SHARE,
    );
    await close(server, graceMs);
  });
  shutdown.add('buffer', async () => {
    await batcher.drain();
    const left = batcher.notStored - notStoredBefore;
    if (left > 0) throw new WeirError('events-left', `${left} events could not be stored before the stop`);
  });
  shutdown.add('admin server', () => close(admin, SHORT_GRACE_MS));
  shutdown.add('authentication', () => auth.stop());
  shutdown.add('traces', async () => tracing?.stop());
  shutdown.add('AWS client', async () => {
    await probing;
    router.stop();
    sink.close();
    kinesis.destroy();
  });
  log.info(
    { port, admin_port: adminPort, stream: config.STREAM_NAME, version: process.version },
    'listening',
  );
});
