import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KinesisClient, type KinesisClientConfig } from '@aws-sdk/client-kinesis';
import { NodeHttp2Handler, NodeHttpHandler } from '@smithy/node-http-handler';

export interface AwsOptions {
  region: string;
  /** Left out: the SDK's own chain (environment, web identity, instance). Given for emulators only. */
  credentials?: { accessKeyId: string; secretAccessKey: string };
  kinesisEndpoint?: string | undefined;
  dynamodbEndpoint?: string | undefined;
  /** One request, from socket to last byte, in ms. Default 10,000. */
  requestTimeoutMs?: number;
  /** Attempts of one SDK call, the first included; 1 where the caller retries by itself. Default 3. */
  maxAttempts?: number;
}

/** Endpoint and region out of a service's environment (`commonEnv`), by the AWS SDKs' own precedence. */
export function awsOptions(env: {
  readonly AWS_REGION: string;
  readonly AWS_ENDPOINT_URL: string | undefined;
  readonly AWS_ENDPOINT_URL_KINESIS: string | undefined;
  readonly AWS_ENDPOINT_URL_DYNAMODB: string | undefined;
}): AwsOptions {
  return {
    region: env.AWS_REGION,
    kinesisEndpoint: env.AWS_ENDPOINT_URL_KINESIS ?? env.AWS_ENDPOINT_URL,
    dynamodbEndpoint: env.AWS_ENDPOINT_URL_DYNAMODB ?? env.AWS_ENDPOINT_URL,
  };
}

/** A session without a byte for this long is broken: a subscription lives 5 min. */
const SUBSCRIPTION_SESSION_MS = 330_000;

/**
 * Without `info` and `error`: where they are, if only as functions that do nothing, the SDK formats the input and the output of
 * each command for them. That is 20-50 % of a PutRecords call and 13 % of a GetRecords call of 1,000 records.
 */
const silent = { trace() {}, debug() {}, warn() {} } as unknown as NonNullable<KinesisClientConfig['logger']>;

/** What every client is made with; here those of the services that most of ours call. */
export function clientSettings(options: AwsOptions, endpoint: string | undefined) {
  return {
    region: options.region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(options.credentials ? { credentials: options.credentials } : {}),
    maxAttempts: options.maxAttempts ?? 3,
    logger: silent,
    // HTTP/1.1 with kept connections: the Kinesis client's default HTTP/2 handler opens a session a request.
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 2_000,
      requestTimeout: options.requestTimeoutMs ?? 10_000,
      // Without it a breach of requestTimeout only logs a warning and the call hangs on.
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: 64 },
      httpsAgent: { keepAlive: true, maxSockets: 64 },
    }),
  };
}

export function createKinesisClient(options: AwsOptions): KinesisClient {
  return new KinesisClient(clientSettings(options, options.kinesisEndpoint));
}

/**
 * For SubscribeToShard, which Kinesis answers over HTTP/2 only: each subscription has a session of its own, cleartext
 * with prior knowledge on an http endpoint. There is no time-out in it: who reads a subscription judges when it stalls.
 */
export function createSubscribingClient(options: AwsOptions): KinesisClient {
  return new KinesisClient({
    ...clientSettings(options, options.kinesisEndpoint),
    maxAttempts: 1,
    requestHandler: new NodeHttp2Handler({ requestTimeout: 0, sessionTimeout: SUBSCRIPTION_SESSION_MS }),
  });
}

export function createDynamoDBClient(options: AwsOptions): DynamoDBClient {
  return new DynamoDBClient(clientSettings(options, options.dynamodbEndpoint));
}

const THROTTLES = new Set([
  'ProvisionedThroughputExceededException',
  'LimitExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
  'KMSThrottlingException',
]);

/** The service is there and asks for less: back off, but stay ready. */
export function isThrottle(error: unknown): boolean {
  return error instanceof Error && THROTTLES.has(error.name);
}

const NETWORK_FAULTS = new Set([
  'TimeoutError',
  'CredentialsProviderError',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/**
 * True when the same request may succeed later: throttles, 5xx, time-outs, broken connections, answers that
 * could not be read. False for what the service refused for good (validation, access, a missing resource) and
 * for errors that are not of a service call at all.
 */
export function isRetryable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (isThrottle(error)) return true;
  const { code, $metadata, $response } = error as {
    code?: string;
    $metadata?: { httpStatusCode?: number };
    $response?: unknown;
  };
  const status = $metadata?.httpStatusCode;
  if (status !== undefined && status >= 400) return status >= 500 || status === 408 || status === 429;
  if (NETWORK_FAULTS.has(error.name) || (code !== undefined && NETWORK_FAULTS.has(code))) return true;
  // What came was no HTTP.
  if (code?.startsWith('HPE_')) return true;
  return status !== undefined || $response !== undefined;
}
