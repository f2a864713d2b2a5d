import { ApiObject } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { producerEnv } from '../../services/producer/config.ts';
import { Config } from '../constructs/config.ts';
import { HardenedDeployment, PRIORITY } from '../constructs/hardened-deployment.ts';
import { labelsOf } from '../constructs/labels.ts';
import {
  ADMIN_PORT,
  allow,
  fromLoadBalancers,
  fromPods,
  fromPrometheus,
  HTTP_PORT,
  servicePort,
  toAws,
  toCollector,
  toDns,
} from '../constructs/network.ts';
import { createServiceAccount } from '../constructs/service-account.ts';
import { apiKeysSecretName } from '../environments/names.ts';
import type { Environment } from '../environments/schema.ts';
import { tracingVariables } from '../environments/tracing.ts';
import { imageReference } from '../images.ts';

const APP = 'producer';
export const PRODUCER = 'weir-producer';
const KEYS_FOLDER = '/etc/weir';
const KEYS_FILE = 'api-keys.json';
/** For how long a load balancer may still send to a pod that is going, in seconds. */
const DRAIN_SECONDS = 15;

/** Headless: a name with the address of each pod's admin port, for the console. */
export const PRODUCER_ADMIN = `${PRODUCER}-admin`;

export function producer(scope: Construct, env: Environment): void {
  const { namespace } = env;
  const { auth, corsOrigins } = env.producer;
  const metadata = { name: PRODUCER, namespace };
  const selector = labelsOf(APP);
  const config = new Config(scope, 'Config', {
    ...metadata,
    shape: producerEnv,
    data: {
      STREAM_NAME: env.stream.name,
      AWS_REGION: env.region,
      PORT: String(HTTP_PORT),
      ADMIN_PORT: String(ADMIN_PORT),
      ...authVariables(auth),
      ...(corsOrigins.length === 0 ? {} : { CORS_ORIGINS: corsOrigins.join(',') }),
      ...tracingVariables(env.tracing),
      // The load balancer. Only its addresses and those of the VPC get here, says the NetworkPolicy.
      TRUST_PROXY: '1',
      // No load balancer of AWS's limits a body.
      MAX_BATCH_BYTES: String(10 * 1024 * 1024),
    },
  });
  if (auth.kind === 'api-key') keys(scope, env);
  new HardenedDeployment(scope, 'Deployment', {
    app: APP,
    namespace,
    image: imageReference(env, 'producer'),
    serviceAccount: createServiceAccount(scope, env, APP),
    config: config.name,
    ports: { http: HTTP_PORT },
    apiToken: false,
    drainSeconds: DRAIN_SECONDS,
    shutdownTimeoutMs: config.values.SHUTDOWN_TIMEOUT_MS,
    cpuMillis: 500,
    // Beside the heap: 64 MiB of bodies, 32 of events that wait, the calls that carry them, 16 of remembered answers, Node itself.
    memoryMiB: 512,
    nodeOptions: '--max-old-space-size=224',
    priority: PRIORITY.pipeline,
    ...(auth.kind === 'api-key'
      ? { secret: { secretProviderClass: `${PRODUCER}-api-keys`, path: KEYS_FOLDER } }
      : {}),
  });
  new k8s.KubeService(scope, 'Service', {
    metadata,
    spec: { selector, ports: [{ ...servicePort('http', 80), appProtocol: 'http' }] },
  });
  new k8s.KubeService(scope, 'Admin', {
    metadata: { ...metadata, name: PRODUCER_ADMIN },
    spec: { clusterIp: 'None', selector, ports: [servicePort('admin', ADMIN_PORT)] },
  });
  autoscaler(scope, env);
  allow(scope, env, APP, {
    ingress: [fromLoadBalancers(env), fromPods(ADMIN_PORT, 'console'), fromPrometheus],
    egress: [toDns, ...toCollector(env), ...toAws(env)],
  });
  if (env.producer.ingress.kind === 'alb') loadBalancer(scope, env, env.producer.ingress);
  else httpRoute(scope, env, env.producer.ingress);
}

function authVariables(auth: Environment['producer']['auth']): Record<string, string> {
  if (auth.kind === 'api-key') return { AUTH: auth.kind, AUTH_KEYS_FILE: `${KEYS_FOLDER}/${KEYS_FILE}` };
  const { issuer, audience, jwksUrl, algorithms, sourcesClaim } = auth;
  return {
    AUTH: auth.kind,
    JWT_ISSUER: issuer,
    JWT_AUDIENCE: audience,
    JWT_JWKS_URL: jwksUrl,
    ...(algorithms === undefined ? {} : { JWT_ALGORITHMS: algorithms.join(',') }),
    ...(sourcesClaim === undefined ? {} : { JWT_SOURCES_CLAIM: sourcesClaim }),
  };
}

/** The API keys, which the Secrets Store CSI driver fetches with the pod's own role: they are never a Secret. */
function keys(scope: Construct, env: Environment): void {
  const objects = [
    { objectName: apiKeysSecretName(env), objectType: 'secretsmanager', objectAlias: KEYS_FILE },
  ];
  new ApiObject(scope, 'Keys', {
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name: `${PRODUCER}-api-keys`, namespace: env.namespace },
    spec: {
      provider: 'aws',
      parameters: {
        region: env.region,
        ...(env.podCredentials.kind === 'pod-identity' ? { usePodIdentity: 'true' } : {}),
        objects: JSON.stringify(objects),
      },
    },
  });
}

/** By CPU: a producer's work is parsing, and it keeps no queue that a lag could tell of. */
function autoscaler(scope: Construct, env: Environment): void {
  const { min, max } = env.producer.replicas;
  new k8s.KubeHorizontalPodAutoscalerV2(scope, 'HorizontalPodAutoscaler', {
    metadata: { name: PRODUCER, namespace: env.namespace },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: PRODUCER },
      minReplicas: min,
      maxReplicas: max,
      metrics: [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } },
        },
      ],
      behavior: {
        scaleUp: {
          stabilizationWindowSeconds: 0,
          policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
        },
        scaleDown: {
          stabilizationWindowSeconds: 300,
          policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }],
        },
      },
    },
  });
}

function loadBalancer(
  scope: Construct,
  env: Environment,
  { scheme, certificateArn }: Extract<Environment['producer']['ingress'], { kind: 'alb' }>,
): void {
  const annotations = {
    scheme,
    'target-type': 'ip',
    'listen-ports': JSON.stringify([{ HTTP: 80 }, { HTTPS: 443 }]),
    'ssl-redirect': '443',
    'ssl-policy': 'ELBSecurityPolicy-TLS13-1-2-2021-06',
    ...(certificateArn === undefined ? {} : { 'certificate-arn': certificateArn }),
    // Not ready until the stream has answered once, and while it drains. An outage of Kinesis does not flip it: then each pod
    // answers 503 with what to do, and without pods the load balancer would answer, which can't say that.
    'healthcheck-path': '/ready',
    'healthcheck-interval-seconds': '5',
    'healthcheck-timeout-seconds': '2',
    'healthy-threshold-count': '2',
    'unhealthy-threshold-count': '2',
    // No longer than a pod that is going still serves.
    'target-group-attributes': `deregistration_delay.timeout_seconds=${DRAIN_SECONDS},load_balancing.algorithm.type=least_outstanding_requests`,
    // The producer keeps an idle connection 65 s, so the load balancer is the one that closes it.
    'load-balancer-attributes':
      'idle_timeout.timeout_seconds=60,routing.http.drop_invalid_header_fields.enabled=true',
  };
  new k8s.KubeIngress(scope, 'Ingress', {
    metadata: {
      name: PRODUCER,
      namespace: env.namespace,
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([name, value]) => [`alb.ingress.kubernetes.io/${name}`, value]),
      ),
    },
    spec: {
      ingressClassName: 'alb',
      tls: [{ hosts: [env.producer.host] }],
      rules: [
        {
          host: env.producer.host,
          http: {
            paths: [
              {
                path: '/',
                pathType: 'Prefix',
                backend: { service: { name: PRODUCER, port: { name: 'http' } } },
              },
            ],
          },
        },
      ],
    },
  });
}

function httpRoute(
  scope: Construct,
  env: Environment,
  gateway: Extract<Environment['producer']['ingress'], { kind: 'gateway' }>,
): void {
  new ApiObject(scope, 'HTTPRoute', {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: PRODUCER, namespace: env.namespace },
    spec: {
      parentRefs: [
        {
          group: 'gateway.networking.k8s.io',
          kind: 'Gateway',
          name: gateway.name,
          namespace: gateway.namespace,
        },
      ],
      hostnames: [env.producer.host],
      rules: [
        {
          matches: [{ path: { type: 'PathPrefix', value: '/' } }],
          backendRefs: [{ group: '', kind: 'Service', name: PRODUCER, port: 80, weight: 1 }],
        },
      ],
    },
  });
}
