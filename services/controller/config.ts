import {
  commonEnv,
  type EnvShape,
  integer,
  milliseconds,
  oneOf,
  optionalUrl,
  parsed,
  port,
  text,
} from '../shared/config.ts';
import { parseOrigins } from './streamscaler/endpoints.ts';

const namespaceName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

/** Environment of the controller. Streams and tables are named by the StreamScalers, not here. */
const { STREAM_NAME: _, ...common } = commonEnv;

export const controllerEnv = {
  ...common,
  PORT: port('Port of the decisions as JSON, `/decisions/{namespace}/{name}`.', 8080),
  KEDA_PORT: port('Port of the external scaler for KEDA, gRPC without TLS.', 9095),
  WATCH_NAMESPACE: text('Namespace whose StreamScalers are reconciled.', {
    default: '*',
    pattern: /^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$/,
    accepts: 'namespace, or `*` for all',
  }),
  POD_NAMESPACE: text('Namespace of the controller itself, where its leader lease is.', {
    default: 'default',
    pattern: namespaceName,
    accepts: 'namespace',
  }),
  LEADER_LEASE_NAME: text('Name of the Lease by which one of several controllers leads.', {
    default: 'weir-controller',
    pattern: namespaceName,
    accepts: 'name of a Kubernetes object',
  }),
  LEADER_LEASE_DURATION_MS: milliseconds(
    'Time after which another controller may take an unrenewed leader lease; whole seconds.',
    {
      default: 15_000,
      min: 1_000,
    },
  ),
  LEADER_RENEW_DEADLINE_MS: milliseconds(
    'Time without a renewal after which a leader gives up; less than the lease.',
    {
      default: 10_000,
      min: 300,
    },
  ),
  LEADER_RETRY_MS: milliseconds('Pause between two tries to take or renew the leader lease.', {
    default: 2_000,
    min: 50,
  }),
  STREAM_ENDPOINTS: parsed<readonly string[]>(
    'What `spec.stream.endpoint` of a StreamScaler may name besides Kinesis at AWS. With `*`, whoever may write a StreamScaler decides where signed requests of the controller go.',
    {
      default: '',
      accepts: 'origins like `http://localstack:4566`, with commas, or `*`',
      parse: parseOrigins,
    },
  ),
  WRITE_THROTTLES: oneOf(
    'Who is asked what producers are refused, for StreamScalers that may change shards. CloudWatch takes 1 cent for 1,000 metrics, and is asked for two a minute: 88 cents a month for each stream.',
    ['off', 'cloudwatch'],
    'off',
  ),
  AWS_ENDPOINT_URL_CLOUDWATCH: optionalUrl('Endpoint of CloudWatch; wins over `AWS_ENDPOINT_URL`.'),
  TICK_MS: milliseconds('Time between two looks at a StreamScaler.', { default: 15_000, min: 500 }),
  RECONCILE_CONCURRENCY: integer('StreamScalers that are looked at at the same time.', {
    default: 8,
    min: 1,
    max: 256,
  }),
  RECONCILE_TIMEOUT_MS: milliseconds('Time that one look may take.', { default: 60_000, min: 1_000 }),
} as const satisfies EnvShape;
