import type { Environment } from './schema.ts';

/** What runs in the cluster with an AWS role of its own. */
export const POD_SERVICES = ['producer', 'consumer', 'controller', 'console'] as const;
export type PodService = (typeof POD_SERVICES)[number];

/** Images, by the Dockerfile that makes them; `controller` holds the console too. */
export const IMAGES = ['producer', 'consumer', 'controller'] as const;
export type Image = (typeof IMAGES)[number];

/** Environments with images of their own, in the order of promotion. */
export const STAGES = ['dev', 'staging', 'prod'] as const;
export type Stage = (typeof STAGES)[number];

export function isStage(name: string | undefined): name is Stage {
  return (STAGES as readonly (string | undefined)[]).includes(name);
}

/** The stage whose images an environment runs. */
export function stageOf(env: Environment): Stage {
  // The schema refuses an environment that is no stage and names none.
  return env.stage ?? (env.name as Stage);
}

/** The group whose tables the console shows and `weir` reads when none is named. */
export function mainGroup(env: Environment): string {
  const group = env.consumers.pods?.group ?? env.consumers.lambda?.group;
  // The schema refuses an environment without any consumer.
  return group as string;
}

/** All consumer groups of an environment, the main one first. */
export function consumerGroups(env: Environment): string[] {
  const groups = [env.consumers.pods?.group, env.consumers.lambda?.group];
  return groups.filter((group) => group !== undefined);
}

/** The Kubernetes service account of a service, in `env.namespace`. */
export function serviceAccountName(service: PodService): string {
  return `weir-${service}`;
}

/** The IAM role of a service. */
export function roleName(env: Environment, service: PodService | 'lambda' | 'deploy'): string {
  return `weir-${env.name}-${service}`;
}

export function roleArn(env: Environment, service: PodService): string {
  return `arn:aws:iam::${env.account}:role/${roleName(env, service)}`;
}

export function streamArn(env: Environment): string {
  return `arn:aws:kinesis:${env.region}:${env.account}:stream/${env.stream.name}`;
}

export function tableArn(env: Environment, table: string): string {
  return `arn:aws:dynamodb:${env.region}:${env.account}:table/${table}`;
}

/** The Secrets Manager secret with the producer's API keys. */
export function apiKeysSecretName(env: Environment): string {
  return `weir/${env.name}/producer-api-keys`;
}

/** The Lambda variant of the consumer. */
export const LAMBDA_FUNCTION = 'kinesis-stream-processor';

/** The bucket with the batches that the event source mapping gave up. */
export function failedBatchesBucket(env: Environment): string {
  return `weir-${env.name}-failed-batches-${env.account}-${env.region}`;
}

/** SSM parameters of the stacks' outputs begin so. */
export function parameterPrefix(env: Environment): string {
  return `/weir/${env.name}`;
}

/**
 * Whether the controller asks CloudWatch what producers are refused: where it may change shards, and has a way there. A cluster with
 * VPC endpoints only has none; it would cost $7 a month in each zone.
 */
export function asksCloudWatch(env: Environment): boolean {
  return env.consumers.pods?.scaling === 'Full' && !env.network?.endpoints;
}

/** Namespace and names of the metrics that Lambda and, by choice, pods send to CloudWatch. */
export const CUSTOM_METRICS = {
  namespace: 'KinesisECRML',
  dimension: 'StreamName',
  processedRecords: 'ProcessedRecords',
  processingLatency: 'ProcessingLatency',
  errorRate: 'ErrorRate',
} as const;
