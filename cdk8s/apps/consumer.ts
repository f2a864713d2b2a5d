import { readFileSync } from 'node:fs';
import { ApiObject } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { consumerEnv } from '../../services/consumer/config.ts';
import { ConfigError } from '../../services/shared/errors.ts';
import { tableNames } from '../../services/shared/tables.ts';
import { Config } from '../constructs/config.ts';
import { HardenedDeployment, PRIORITY } from '../constructs/hardened-deployment.ts';
import { hashedName } from '../constructs/hashed-name.ts';
import {
  ADMIN_PORT,
  allow,
  fromPods,
  fromPrometheus,
  toAdminOf,
  toAws,
  toCollector,
  toDns,
} from '../constructs/network.ts';
import { createServiceAccount } from '../constructs/service-account.ts';
import { API_VERSION, KIND, type StreamScalerSpecInput } from '../crd/stream-scaler.ts';
import { detectionVariables, MODELS_FOLDER, modelFileName, modelFiles } from '../environments/detection.ts';
import type { Environment } from '../environments/schema.ts';
import { tracingVariables } from '../environments/tracing.ts';
import { imageReference } from '../images.ts';

const APP = 'consumer';
export const CONSUMER = 'weir-consumer';

/** Where models with a relative path are. */
const REPOSITORY = new URL('../../', import.meta.url);
/** What a ConfigMap may hold. */
const MAX_MODELS_BYTES = 1024 * 1024;

type Pods = NonNullable<Environment['consumers']['pods']>;

/** The consumer's pods, and the StreamScaler that says how many. */
export function consumer(scope: Construct, env: Environment, pods: Pods): void {
  const metadata = { name: CONSUMER, namespace: env.namespace };
  const tables = tableNames(pods.group);
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
      ...detectionVariables(env.detection),
      STORE: store,
      ...(ttlDays === undefined ? {} : { ITEM_DAYS: String(ttlDays) }),
      ...(pods.cloudWatchMetrics ? { METRICS_EMF: 'true' } : {}),
      ...tracingVariables(env.tracing),
    },
  });
  const configMap = models(scope, env);
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
    // Of 128 MiB of states, 16 MiB read ahead and a batch of up to 10 MiB for each shard in hand, what is bytes lies outside of the
    // heap, as ONNX Runtime does: half of the memory is theirs, and a heap that reaches its own limit is collected before it takes theirs.
    memoryMiB: 768,
    nodeOptions: '--max-old-space-size=384',
    priority: PRIORITY.pipeline,
    ...(configMap === undefined ? {} : { files: { configMap, path: MODELS_FOLDER } }),
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
    egress: [toDns, toAdminOf(APP), ...toCollector(env), ...toAws(env)],
  });
}

/**
 * The detectors' models out of this repository as a ConfigMap; undefined when there is none.
 *
 * @throws ConfigError for a model that isn't there, or more than a ConfigMap holds.
 */
function models(scope: Construct, env: Environment): string | undefined {
  const files = Array.from(modelFiles(env.detection), ([detector, path]) => {
    try {
      return { key: modelFileName(detector), bytes: readFileSync(new URL(path, REPOSITORY)) };
    } catch (error) {
      throw new ConfigError(`${env.name}: model of detector ${detector}: ${(error as Error).message}`);
    }
  });
  if (files.length === 0) return undefined;
  const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (total > MAX_MODELS_BYTES) {
    throw new ConfigError(
      `${env.name}: models of ${total} bytes are more than a ConfigMap holds (1 MiB): copy them into the image and give their absolute paths there (docs/how-to/bring-your-detector.md)`,
    );
  }
  const binaryData = Object.fromEntries(files.map(({ key, bytes }) => [key, bytes.toString('base64')]));
  const name = hashedName(`${CONSUMER}-models`, JSON.stringify(binaryData));
  new k8s.KubeConfigMap(scope, 'Models', {
    metadata: { name, namespace: env.namespace },
    immutable: true,
    binaryData,
  });
  return name;
}
