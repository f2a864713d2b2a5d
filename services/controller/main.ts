import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { ServerCredentials } from '@grpc/grpc-js';
import { KubeConfig } from '@kubernetes/client-node';
import express from 'express';
import { GROUP, PLURAL, type StreamScaler, VERSION } from '../../cdk8s/crd/stream-scaler.ts';
import { createAdminServer } from '../shared/admin.ts';
import { awsOptions } from '../shared/aws.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { ConfigError } from '../shared/errors.ts';
import { newRequestId } from '../shared/ids.ts';
import { close, listen } from '../shared/server.ts';
import { runService } from '../shared/service.ts';
import { controllerEnv } from './config.ts';
import { DecisionBoard } from './keda/decision-board.ts';
import { startExternalScaler } from './keda/external-scaler.ts';
import { decisionRoutes } from './keda/metrics-api.ts';
import { KubeClient } from './runtime/api/client.ts';
import { Transport } from './runtime/api/transport.ts';
import { Reflector } from './runtime/cache/reflector.ts';
import { Controller } from './runtime/controller.ts';
import { EventRecorder } from './runtime/event-recorder.ts';
import { LeaderElection } from './runtime/leader-election.ts';
import { Manager } from './runtime/manager.ts';
import { createRuntimeMetrics } from './runtime/metrics.ts';
import { ScaleClient } from './runtime/scale-client.ts';
import { StatusWriter } from './runtime/status.ts';
import { WorkQueue } from './runtime/work-queue.ts';
import { Actor } from './streamscaler/actor.ts';
import { AwsPool } from './streamscaler/aws-pool.ts';
import { Conflicts } from './streamscaler/conflicts.ts';
import { createScalerMetrics } from './streamscaler/metrics.ts';
import { StreamScalerReconciler } from './streamscaler/reconciler.ts';
import { Targets } from './streamscaler/target.ts';
import { enqueueChanges } from './streamscaler/triggers.ts';

const NAME = 'weir-controller';
const SCALERS = { group: GROUP, version: VERSION, plural: PLURAL, namespaced: true };
/** Share of the shutdown time for the reconciles in hand; the rest is for the steps after it. */
const DRAIN_SHARE = 0.6;

await runService('controller', controllerEnv, async ({ config, log, registry, shutdown }) => {
  if (config.LEADER_RENEW_DEADLINE_MS >= config.LEADER_LEASE_DURATION_MS) {
    throw new ConfigError('LEADER_RENEW_DEADLINE_MS must be less than LEADER_LEASE_DURATION_MS');
  }
  const random = Math.random;
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  const transport = new Transport(kubeConfig, clock, `${NAME} (${process.version})`);
  const client = new KubeClient(transport);
  const runtimeMetrics = createRuntimeMetrics(registry);
  const metrics = createScalerMetrics(registry);
  const board = new DecisionBoard(clock);
  const aws = new AwsPool(awsOptions(config));

  const queue = new WorkQueue({ name: PLURAL, clock, metrics: runtimeMetrics });
  const reflector = new Reflector<StreamScaler>({
    client,
    resource: SCALERS,
    namespace: config.WATCH_NAMESPACE === '*' ? undefined : config.WATCH_NAMESPACE,
    clock,
    random,
    log,
    metrics: runtimeMetrics,
  });
  enqueueChanges(reflector.store, queue);

  const recorder = new EventRecorder({ client, component: NAME, clock, log, metrics: runtimeMetrics });
  const targets = new Targets(client, new ScaleClient(client, clock), log);
  const status = new StatusWriter<StreamScaler>(client, SCALERS, NAME);
  const shared = { targets, status, recorder, aws, metrics, clock, log };
  const reconciler = new StreamScalerReconciler({
    ...shared,
    store: reflector.store,
    actor: new Actor(shared),
    conflicts: new Conflicts(client, clock),
    board,
    tickMs: config.TICK_MS,
  });
  const controller = new Controller({
    name: PLURAL,
    queue,
    reconcile: reconciler.reconcile,
    concurrency: config.RECONCILE_CONCURRENCY,
    timeoutMs: config.RECONCILE_TIMEOUT_MS,
    clock,
    log,
    metrics: runtimeMetrics,
  });
  const manager = new Manager({
    transport,
    reflectors: [reflector],
    controllers: [controller],
    election: new LeaderElection({
      client,
      namespace: config.POD_NAMESPACE,
      name: config.LEADER_LEASE_NAME,
      // Unique in each process: a restarted one must never pass for the one before it.
      identity: `${hostname()}_${newRequestId()}`,
      leaseDurationMs: config.LEADER_LEASE_DURATION_MS,
      renewDeadlineMs: config.LEADER_RENEW_DEADLINE_MS,
      retryMs: config.LEADER_RETRY_MS,
      clock,
      random,
      log,
      metrics: runtimeMetrics,
    }),
    recorder,
    clock,
    log,
    livenessMs: 2 * config.RECONCILE_TIMEOUT_MS,
    drainMs: config.SHUTDOWN_TIMEOUT_MS * DRAIN_SHARE,
  });
  const admin = createAdminServer({
    registry,
    live: () => manager.live(),
    ready: () => manager.ready(),
  });

  const decisions = createServer(express().disable('x-powered-by').use(decisionRoutes(board)));

  const adminPort = await listen(admin, config.ADMIN_PORT, config.HOST);
  const port = await listen(decisions, config.PORT, config.HOST);
  const kedaAddress = `${config.HOST}:${config.KEDA_PORT}`;
  const keda = await startExternalScaler(board, kedaAddress, ServerCredentials.createInsecure(), log);
  manager.start(() => {
    // What we decided last is no longer ours to give.
    board.clear();
    void shutdown.run('the leader lease is lost', 1);
  });
  manager.addTo(shutdown);
  shutdown.add('decisions for others', async () => {
    await Promise.all([close(decisions), keda.stop()]);
  });
  shutdown.add('admin server', () => close(admin));
  shutdown.add('AWS clients', async () => aws.close());
  log.info(
    {
      port,
      admin_port: adminPort,
      keda_port: keda.port,
      namespace: config.WATCH_NAMESPACE,
      version: process.version,
    },
    'listening',
  );
});
