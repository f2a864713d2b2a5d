import { hostname } from 'node:os';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import { GROUP, PLURAL, type StreamScaler, VERSION } from '../../cdk8s/crd/stream-scaler.ts';
import { awsOptions } from '../shared/aws.ts';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { EnvOf } from '../shared/config.ts';
import { ConfigError } from '../shared/errors.ts';
import { newRequestId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import { LIVENESS_MS, Progress } from '../shared/progress.ts';
import type { controllerEnv } from './config.ts';
import { DecisionBoard } from './keda/decision-board.ts';
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

export interface ControllerContext {
  kubeConfig: KubeConfig;
  /** Time of the API server: watches, leader lease, queue. */
  clock: Clock;
  /** Time of the streams: lags, windows, the ledger. The same but where a test lets a day pass in minutes. */
  streamClock: Clock;
  random: Random;
  log: Logger;
  registry: Registry;
}

/** All that a controller decides and acts with, but for its servers. */
export interface ControllerParts {
  /** Not yet started. */
  manager: Manager;
  /** The decisions, for those who ask. */
  board: DecisionBoard;
  /** Ends the AWS clients; to be called when the manager has stopped. */
  close(): void;
}

/**
 * Caches, queue, election and reconciler as the configuration says.
 *
 * @throws ConfigError for times that don't go together.
 */
export function createController(
  config: EnvOf<typeof controllerEnv>,
  { kubeConfig, clock, streamClock, random, log, registry }: ControllerContext,
): ControllerParts {
  if (config.LEADER_RENEW_DEADLINE_MS >= config.LEADER_LEASE_DURATION_MS) {
    throw new ConfigError('LEADER_RENEW_DEADLINE_MS must be less than LEADER_LEASE_DURATION_MS');
  }
  const transport = new Transport(kubeConfig, clock, `${NAME} (${process.version})`);
  const client = new KubeClient(transport);
  const runtimeMetrics = createRuntimeMetrics(registry);
  const metrics = createScalerMetrics(registry);
  const aws = new AwsPool({
    ...awsOptions(config),
    cloudwatchEndpoint: config.AWS_ENDPOINT_URL_CLOUDWATCH ?? config.AWS_ENDPOINT_URL,
  });

  const progress = new Progress(clock);
  const queue = new WorkQueue({ name: PLURAL, clock, metrics: runtimeMetrics });
  const reflector = new Reflector<StreamScaler>({
    client,
    resource: SCALERS,
    namespace: config.WATCH_NAMESPACE === '*' ? undefined : config.WATCH_NAMESPACE,
    progress,
    clock,
    random,
    log,
    metrics: runtimeMetrics,
  });
  enqueueChanges(reflector.store, queue);
  const board = new DecisionBoard(reflector.store, streamClock, config.TICK_MS);

  const recorder = new EventRecorder({ client, component: NAME, clock, log, metrics: runtimeMetrics });
  const targets = new Targets(client, new ScaleClient(client, clock), log);
  const status = new StatusWriter<StreamScaler>(client, SCALERS, NAME);
  const shared = { targets, status, recorder, aws, metrics, clock: streamClock, log };
  const reconciler = new StreamScalerReconciler({
    ...shared,
    store: reflector.store,
    actor: new Actor(shared),
    conflicts: new Conflicts(client, clock),
    streamEndpoints: config.STREAM_ENDPOINTS,
    writeThrottles: config.WRITE_THROTTLES === 'cloudwatch',
    tickMs: config.TICK_MS,
  });
  const controller = new Controller({
    name: PLURAL,
    queue,
    reconcile: reconciler.reconcile,
    concurrency: config.RECONCILE_CONCURRENCY,
    timeoutMs: config.RECONCILE_TIMEOUT_MS,
    progress,
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
      progress,
      clock,
      random,
      log,
      metrics: runtimeMetrics,
    }),
    recorder,
    progress,
    livenessMs: LIVENESS_MS,
    drainMs: config.SHUTDOWN_TIMEOUT_MS * DRAIN_SHARE,
  });
  return { manager, board, close: () => aws.close() };
}
