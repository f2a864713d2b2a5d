import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { consoleEnv } from '../../services/console/config.ts';
import { tableNames } from '../../services/shared/tables.ts';
import { Config } from '../constructs/config.ts';
import { HardenedDeployment, PRIORITY } from '../constructs/hardened-deployment.ts';
import { labelsOf } from '../constructs/labels.ts';
import {
  ADMIN_PORT,
  allow,
  fromPrometheus,
  HTTP_PORT,
  servicePort,
  toAdminOf,
  toApiServer,
  toAws,
  toDns,
} from '../constructs/network.ts';
import { createRole, createServiceAccount } from '../constructs/service-account.ts';
import { GROUP, PLURAL } from '../crd/stream-scaler.ts';
import { mainGroup } from '../environments/names.ts';
import type { Environment } from '../environments/schema.ts';
import { imageReference } from '../images.ts';
import { CONSUMER } from './consumer.ts';
import { PRODUCER_ADMIN } from './producer.ts';

const APP = 'console';

/**
 * The read-only page. It has no login, so nothing leads to it from outside: `kubectl port-forward` asks the
 * cluster who may. Where the environment has no pods to scale it has no business with the Kubernetes API.
 */
export function console(scope: Construct, env: Environment): void {
  const { namespace } = env;
  const metadata = { name: 'weir-console', namespace };
  const tables = tableNames(mainGroup(env));
  const showsScaler = env.consumers.pods !== undefined;
  const config = new Config(scope, 'Config', {
    ...metadata,
    shape: consoleEnv,
    data: {
      STREAM_NAME: env.stream.name,
      AWS_REGION: env.region,
      PORT: String(HTTP_PORT),
      ADMIN_PORT: String(ADMIN_PORT),
      RECORDS_TABLE: tables.records,
      LEASE_TABLE: tables.leases,
      STATE_TABLE: tables.state,
      DEAD_LETTER_TABLE: tables.deadLetters,
      PRODUCER_METRICS_URLS: `http://${PRODUCER_ADMIN}.${namespace}.svc:${ADMIN_PORT}/metrics`,
      ...(showsScaler ? { STREAM_SCALER: `${namespace}/${CONSUMER}` } : {}),
    },
  });
  if (showsScaler)
    createRole(scope, env, APP, [
      { apiGroups: [GROUP], resources: [PLURAL], verbs: ['get'], resourceNames: [CONSUMER] },
    ]);
  new HardenedDeployment(scope, 'Deployment', {
    app: APP,
    namespace,
    image: imageReference(env, 'controller'),
    args: ['/app/console/main.js'],
    serviceAccount: createServiceAccount(scope, env, APP),
    config: config.name,
    replicas: env.console.replicas,
    ports: { http: HTTP_PORT },
    apiToken: showsScaler,
    drainSeconds: 0,
    shutdownTimeoutMs: config.values.SHUTDOWN_TIMEOUT_MS,
    cpuMillis: 50,
    memoryMiB: 256,
    priority: PRIORITY.tools,
  });
  new k8s.KubeService(scope, 'Service', {
    metadata,
    spec: {
      selector: labelsOf(APP),
      ports: [servicePort('http', 80)],
    },
  });
  allow(scope, env, APP, {
    ingress: [fromPrometheus],
    egress: [
      toDns,
      toAdminOf('producer', 'consumer'),
      ...(showsScaler ? [toApiServer(env)] : []),
      ...toAws(env),
    ],
  });
}
