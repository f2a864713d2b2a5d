/** The double's account and region, as its ARNs and messages name them. */
export const ACCOUNT = '000000000000';
const REGION = 'us-east-1';
export const CONTENT_TYPE = 'application/x-amz-json-1.1';
const TARGET_PREFIX = 'Kinesis_20131202.';

/** An error as the service answers it: `type` is what the SDK makes the error's name. */
export class KinesisError extends Error {
  override readonly name = 'KinesisError';
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }

  /** The body of the answer. */
  toJSON(): object {
    return { __type: this.type, message: this.message };
  }
}

export const invalidArgument = (message: string) => new KinesisError('InvalidArgumentException', message);
export const inUse = (message: string) => new KinesisError('ResourceInUseException', message);
export const limitExceeded = (message: string) => new KinesisError('LimitExceededException', message);
export const throttled = (message: string) =>
  new KinesisError('ProvisionedThroughputExceededException', message);
export const internalFailure = () =>
  new KinesisError('InternalFailureException', 'Internal service failure.', 500);
export const streamNotFound = (stream: string) =>
  new KinesisError('ResourceNotFoundException', `Stream ${stream} under account ${ACCOUNT} not found.`);
export const shardNotFound = (stream: string, shard: string) =>
  new KinesisError(
    'ResourceNotFoundException',
    `Could not find shard ${shard} in stream ${stream} under account ${ACCOUNT}.`,
  );

export const shardRateMessage = (stream: string, shard: string) =>
  `Rate exceeded for shard ${shard} in stream ${stream} under account ${ACCOUNT}.`;

/** The input of an operation: a JSON object. */
export type Input = Readonly<Record<string, unknown>>;

/** The operation of a request by its `x-amz-target` header; undefined when it is for another service. */
export function operationOf(target: string | undefined): string | undefined {
  return target?.startsWith(TARGET_PREFIX) ? target.slice(TARGET_PREFIX.length) : undefined;
}

/** @throws KinesisError SerializationException for what is not a JSON object. */
export function parseInput(body: string): Input {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw serialization('the body is not JSON');
  }
  if (!isObject(value)) throw serialization('the body is not an object');
  return value;
}

export function isObject(value: unknown): value is Input {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function serialization(message: string): KinesisError {
  return new KinesisError('SerializationException', message);
}

function violation(field: string, constraint: string): KinesisError {
  return new KinesisError(
    'ValidationException',
    `1 validation error detected: Value at '${field}' failed to satisfy constraint: Member must ${constraint}`,
  );
}

/** A string of 1 to `max` characters, or undefined when it is left out. */
export function optionalText(input: Input, field: string, max = 256): string | undefined {
  const value = input[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw serialization(`${field} is not a string`);
  if (value.length === 0) throw violation(field, 'have length greater than or equal to 1');
  if (value.length > max) throw violation(field, `have length less than or equal to ${max}`);
  return value;
}

export function text(input: Input, field: string, max = 256): string {
  const value = optionalText(input, field, max);
  if (value === undefined) throw violation(field, 'not be null');
  return value;
}

/** A whole number in `[min, max]`, or undefined when it is left out. */
export function optionalInteger(input: Input, field: string, min: number, max: number): number | undefined {
  const value = input[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw serialization(`${field} is not a whole number`);
  if (value < min) throw violation(field, `have value greater than or equal to ${min}`);
  if (value > max) throw violation(field, `have value less than or equal to ${max}`);
  return value;
}

/** A time as ms since the epoch: on the wire it is in seconds with a fraction. */
export function optionalTime(input: Input, field: string): number | undefined {
  const value = input[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number') throw serialization(`${field} is not a number`);
  return Math.round(value * 1000);
}

export function oneOf<const T extends string>(input: Input, field: string, values: readonly T[]): T {
  const value = text(input, field);
  const found = values.find((known) => known === value);
  if (!found) throw violation(field, `satisfy enum value set: [${values.join(', ')}]`);
  return found;
}

const STREAM_NAME = /^[a-zA-Z0-9_.-]{1,128}$/;

/** The stream's name, out of `StreamName` or `StreamARN`. */
export function streamName(input: Input): string {
  const arn = optionalText(input, 'StreamARN', 2_048);
  const name = optionalText(input, 'StreamName', 128) ?? arn?.split('/')[1];
  if (name === undefined) throw invalidArgument('Either StreamName or StreamARN should be provided.');
  if (!STREAM_NAME.test(name))
    throw violation('streamName', 'satisfy regular expression pattern: [a-zA-Z0-9_.-]+');
  return name;
}

export function streamArn(name: string): string {
  return `arn:aws:kinesis:${REGION}:${ACCOUNT}:stream/${name}`;
}

/** An opaque token: what is in it is our own business. */
export function encodeToken(parts: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** @returns undefined for what `encodeToken` never made. */
export function decodeToken(token: string): unknown[] | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    return Array.isArray(parts) ? parts : undefined;
  } catch {
    return undefined;
  }
}
