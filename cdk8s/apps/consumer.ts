import { ApiObject } from 'cdk8s';
import type { Construct } from 'constructs';
import { consumerEnv } from '../../services/consumer/config.ts';
import { tableNames } from '../../services/shared/tables.ts';
import { Config } from '../constructs/config.ts';
import { HardenedDeployment, PRIORITY } from '../constructs/hardened-deployment.ts';
import {
  ADMIN_PORT,
  allow,
  fromPods,
  fromPrometheus,
  toAdminOf,
  toAws,
  toDns,
} from '../constructs/network.ts';
import { createServiceAccount } from '../constructs/service-account.ts';
import { API_VERSION, KIND, type StreamScalerSpecInput } from '../crd/stream-scaler.ts';
import type { Environment } from '../environments/schema.ts';
import { imageReference } from '../images.ts';

const APP = 'consumer';
export const CONSUMER = 'weir-consumer';

type Pods = NonNullable<Environment['consumers']['pods']>;

/** The consumer's pods, and the StreamScaler that says how many. */
export function consumer(scope: Construct, env: Environment, pods: Pods): void {
  const metadata = { name: CONSUMER, namespace: env.namespace };
  const tables = tableNames(pods.group);
  const { detector, threshold } = env.detection;
  const { store, ttlDays } = env.records;
  const config = new Config(scope, 'Config', {
    ...metadata,
    shape: consumerEnv,
    data: {
      STREAM_NAME: env.stream.name,
      AWS_REGION: env.region,
      ADMIN_PORT: String(ADMIN_PORT),
      RECORDS_TABLE: tables.records,
      LEASE_TABLE: tables.leases,
      STATE_TABLE: tables.state,
      DEAD_LETTER_TABLE: tables.deadLetters,
      // A new group misses nothing that is still there.
      STARTING_POSITION: 'TRIM_HORIZON',
      FETCH: pods.fetch,
      DETECTOR: detector,
      THRESHOLD: String(threshold),
      STORE: store,
      ...(ttlDays === undefined ? {} : { ITEM_DAYS: String(ttlDays) }),
    },
  });
  new HardenedDeployment(scope, 'Deployment', {
    app: APP,
    namespace: env.namespace,
    image: imageReference(env, 'consumer'),
    serviceAccount: createServiceAccount(scope, env, APP),
    config: config.name,
    apiToken: false,
    // Nothing sends to it; the sooner it hands its leases over, the less waits.
    drainSeconds: 0,
    shutdownTimeoutMs: config.values.SHUTDOWN_TIMEOUT_MS,
    cpuMillis: 500,
    // 128 MiB of states, 16 MiB read ahead, and a batch of up to 10 MiB for each shard in hand.
    memoryMiB: 768,
    priority: PRIORITY.pipeline,
  });
  const spec: StreamScalerSpecInput = {
    stream: { name: env.stream.name, region: env.region },
    consumer: { leaseTable: tables.leases },
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: CONSUMER },
    replicas: pods.replicas,
    ...(pods.scaling === 'Full' ? { shards: env.shards } : {}),
    objective: pods.objective,
    mode: pods.scaling,
  };
  new ApiObject(scope, 'StreamScaler', { apiVersion: API_VERSION, kind: KIND, metadata, spec });
  allow(scope, env, APP, {
    // A consumer that stops tells the others to look at the lease table; the console reads rates.
    ingress: [fromPods(ADMIN_PORT, APP, 'console'), fromPrometheus],
    egress: [toDns, toAdminOf(APP), ...toAws(env)],
  });
}
