import { dev } from '../../cdk8s/environments/dev.ts';
import { environments } from '../../cdk8s/environments/environments.ts';
import { prod } from '../../cdk8s/environments/prod.ts';
import { defineEnvironment, type Environment } from '../../cdk8s/environments/schema.ts';
import { staging } from '../../cdk8s/environments/staging.ts';

const lambda = staging.consumers.lambda as NonNullable<typeof staging.consumers.lambda>;

/** Besides the environments, each choice that none of them makes. */
export const VARIATIONS: Readonly<Record<string, Environment>> = {
  ...Object.fromEntries(environments.map((env) => [env.name, env])),
  'function only, in the VPC, by fan-out': defineEnvironment({
    ...prod,
    consumers: { lambda: { ...lambda, group: 'anomaly-stream', fanout: true, inVpc: true } },
  }),
  'on demand, IRSA, fan-out, a replica, behind a Gateway': defineEnvironment({
    ...dev,
    podCredentials: { kind: 'irsa', oidcProvider: 'oidc.eks.ap-south-1.amazonaws.com/id/0123456789ABCDEF' },
    stream: { ...dev.stream, mode: { kind: 'on-demand' }, shardMetrics: ['IteratorAgeMilliseconds'] },
    consumers: {
      pods: {
        ...(dev.consumers.pods as NonNullable<typeof dev.consumers.pods>),
        fetch: 'fanout',
        scaling: 'ReplicasOnly',
      },
    },
    records: {
      store: 'all',
      replicas: [
        {
          region: 'ap-southeast-1',
          keyArn: `arn:aws:kms:ap-southeast-1:111111111111:key/mrk-${'0123456789abcdef'.repeat(2)}`,
        },
      ],
    },
    producer: { ...dev.producer, ingress: { kind: 'gateway', name: 'public', namespace: 'gateways' } },
    alarms: { ...dev.alarms, email: 'on-call@weir.example' },
    github: { ...dev.github, oidcProvider: 'exists' },
    protectData: true,
  }),
  "prod's second region, a model and a variant as challengers, traces, tokens, metrics in the log":
    defineEnvironment({
      ...prod,
      name: 'prod-singapore',
      stage: 'prod',
      region: 'ap-southeast-1',
      cluster: 'weir-prod-singapore',
      network: undefined,
      records: {
        store: 'all',
        replicas: [],
        replicaKeyArn: `arn:aws:kms:ap-southeast-1:333333333333:key/mrk-${'0123456789abcdef'.repeat(2)}`,
      },
      detection: {
        detector: 'adaptive',
        threshold: 1000,
        challengers: ['keen', 'pump'],
        params: {
          keen: { detector: 'adaptive', sensitivity: 0.8 },
          pump: { detector: 'onnx', model: 'services/detectors/onnx/tiny.onnx', threshold: 0.97 },
        },
        challengerLimitMicros: 500,
      },
      consumers: {
        pods: {
          ...(prod.consumers.pods as NonNullable<typeof prod.consumers.pods>),
          cloudWatchMetrics: true,
        },
      },
      producer: {
        ...prod.producer,
        auth: {
          kind: 'jwt',
          issuer: 'https://login.weir.example',
          audience: 'weir',
          jwksUrl: 'https://login.weir.example/.well-known/jwks.json',
          algorithms: ['ES256'],
          sourcesClaim: 'scope',
        },
        corsOrigins: ['https://app.weir.example', 'https://ops.weir.example'],
      },
      tracing: { endpoint: 'http://collector.observability.svc:4318', ratio: 0.1 },
      github: { ...prod.github, oidcProvider: 'exists' },
    }),
};
