import { hostname } from 'node:os';
import { createAdminServer } from '../shared/admin.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { newRequestId } from '../shared/ids.ts';
import { liveReport, Progress } from '../shared/progress.ts';
import { close, listen, reachableAddress, SHORT_GRACE_MS } from '../shared/server.ts';
import { runService } from '../shared/service.ts';
import { createTracing } from '../shared/tracing.ts';
import { consumerEnv } from './config.ts';
import { createConsumer } from './create-consumer.ts';
import { EmfReporter } from './emf-reporter.ts';
import { POKE_PATH, poke } from './leases/poke.ts';
import { createConsumerMetrics } from './metrics.ts';
import type { Worker } from './worker.ts';

/** Share of the shutdown time for finishing the work in hand; the rest is for the steps after it. */
const GRACE_SHARE = 0.8;

await runService('consumer', consumerEnv, async ({ config, log, registry, writeLine, shutdown }) => {
  const metrics = createConsumerMetrics(registry);
  const progress = new Progress(clock);
  // Unique in each process: a restarted worker must never pass for the one before it.
  const workerId = `${hostname()}-${newRequestId()}`;

  const tracing = await createTracing('weir-consumer', config);
  const context = { progress, clock, random: Math.random, log, metrics, tracing };
  const consumer = await createConsumer(config, context);
  let worker: Worker | undefined;
  const admin = createAdminServer({
    registry,
    live: () => liveReport(progress.stalled(config.LIVENESS_TIMEOUT_MS)),
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
  const member = consumer.join({ workerId, address: reachableAddress(config.HOST, adminPort) }, poke);
  worker = member;
  member.start();
  shutdown.add('worker', () => member.stop(config.SHUTDOWN_TIMEOUT_MS * GRACE_SHARE));
  if (config.METRICS_EMF === 'true') {
    const stopping = new AbortController();
    const reporting = new EmfReporter({
      stream: config.STREAM_NAME,
      metrics,
      clock,
      emit: writeLine,
    }).run(stopping.signal);
    shutdown.add('CloudWatch metrics', () => {
      stopping.abort();
      return reporting;
    });
  }
  shutdown.add('traces', async () => tracing?.stop());
  shutdown.add('admin server', () => close(admin, SHORT_GRACE_MS));
  shutdown.add('AWS clients', async () => consumer.close());
  log.info(
    { admin_port: adminPort, worker: workerId, stream: config.STREAM_NAME, version: process.version },
    'listening',
  );
});
