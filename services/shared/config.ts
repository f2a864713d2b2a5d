import * as z from 'zod';
import { ConfigError } from './errors.ts';

/**
 * Configuration comes from environment variables only. A service declares one shape of them in its
 * `config.ts` with the helpers below; `parseEnv` reads it once at start and names every bad variable in one
 * message. The same shapes render `docs/reference/configuration.md`.
 */
export type EnvShape = Readonly<Record<string, z.ZodType>>;
export type EnvOf<S extends EnvShape> = { readonly [K in keyof S]: z.output<S[K]> };

interface VariableMeta {
  description: string;
  /** How the accepted values read in the reference and in errors. */
  accepts: string;
  default?: string;
}

/** Metadata of a declared variable, as the configuration reference prints it. */
export interface VariableDoc extends VariableMeta {
  name: string;
}

const metadata = z.registry<VariableMeta>();

function declare<T extends z.ZodType>(schema: T, meta: VariableMeta): T {
  metadata.add(schema, meta);
  return schema;
}

interface NumberOptions {
  default: number;
  min?: number;
  max?: number;
}

/** A whole number in `[min, max]`. Units belong in the variable's name (`_MS`, `_BYTES`). */
export function integer(description: string, options: NumberOptions): z.ZodType<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
  const accepts = max === Number.MAX_SAFE_INTEGER ? `whole number ≥ ${min}` : `whole number ${min}-${max}`;
  const schema = z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number)
    .refine((n) => Number.isSafeInteger(n) && n >= min && n <= max);
  return declare(schema.default(options.default), { description, accepts, default: String(options.default) });
}

/** Longest time that a variable takes, in ms: a day. Node's timers fire at once beyond 2^31-1, and times are multiplied. */
const MAX_MS = 86_400_000;

/** A time in whole ms, by default a day at most. */
export function milliseconds(description: string, options: NumberOptions): z.ZodType<number> {
  return integer(description, { max: MAX_MS, ...options });
}

/** A finite decimal number in `[min, max]`. */
export function decimal(description: string, options: NumberOptions): z.ZodType<number> {
  const { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = options;
  const schema = z
    .string()
    .regex(/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i)
    .transform(Number)
    .refine((n) => Number.isFinite(n) && n >= min && n <= max);
  const bounded = options.max === undefined ? `number ≥ ${min}` : `number ${min}-${max}`;
  const accepts = options.min === undefined ? 'number' : bounded;
  return declare(schema.default(options.default), { description, accepts, default: String(options.default) });
}

/** A TCP port; 0 asks the system for a free one. */
export function port(description: string, defaultPort: number): z.ZodType<number> {
  return integer(description, { default: defaultPort, max: 65_535 });
}

/** A non-empty string, optionally held to a pattern. */
export function text(
  description: string,
  options: { default: string; pattern?: RegExp; accepts?: string },
): z.ZodType<string> {
  const schema = z.string().regex(options.pattern ?? /./);
  return declare(schema.default(options.default), {
    description,
    accepts: options.accepts ?? 'text',
    default: options.default,
  });
}

/** A non-empty string that may be left out. */
export function optionalText(description: string): z.ZodType<string | undefined> {
  return declare(z.string().optional(), { description, accepts: 'text' });
}

/** A URL with one of the protocols http or https, that may be left out. */
export function optionalUrl(description: string): z.ZodType<string | undefined> {
  return declare(z.url({ protocol: /^https?$/ }).optional(), { description, accepts: 'http(s) URL' });
}

/** One of a fixed set of words. */
export function oneOf<const T extends readonly [string, ...string[]]>(
  description: string,
  values: T,
  defaultValue: T[number],
): z.ZodType<T[number]> {
  const schema = z.string().default(defaultValue).pipe(z.enum(values)) as unknown as z.ZodType<T[number]>;
  return declare(schema, {
    description,
    accepts: values.map((v) => `\`${v}\``).join(', '),
    default: defaultValue,
  });
}

/** A value with a syntax of its own; `parse` returns `undefined` for what it does not accept. */
export function parsed<T>(
  description: string,
  options: { default: string; accepts: string; parse: (value: string) => T | undefined },
): z.ZodType<T> {
  const schema = z
    .string()
    .default(options.default)
    .transform((value, context): T => {
      const result = options.parse(value);
      if (result === undefined) {
        context.issues.push({ code: 'custom', message: 'not accepted', input: value });
        return z.NEVER;
      }
      return result;
    });
  return declare(schema, { description, accepts: options.accepts, default: options.default });
}

/**
 * Reads a service's variables out of `env`. An empty value counts as unset, because Kubernetes and Compose
 * files can't easily leave a variable out.
 *
 * @throws ConfigError naming every bad variable, what it holds and what it accepts.
 */
export function parseEnv<S extends EnvShape>(
  shape: S,
  env: Readonly<Record<string, string | undefined>>,
): EnvOf<S> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, schema] of Object.entries(shape)) {
    const raw = env[name];
    const result = schema.safeParse(raw === '' ? undefined : raw);
    if (result.success) values[name] = result.data;
    else
      problems.push(`  ${name}=${quote(raw)}: expected ${metadata.get(schema)?.accepts ?? 'another value'}`);
  }
  if (problems.length > 0) {
    const plural = problems.length === 1 ? 'variable is' : 'variables are';
    throw new ConfigError(`${problems.length} environment ${plural} not usable:\n${problems.join('\n')}`);
  }
  return values as EnvOf<S>;
}

/** The documented variables of a shape, in declaration order. */
export function describeEnv(shape: EnvShape): VariableDoc[] {
  return Object.entries(shape).map(([name, schema]) => {
    const meta = metadata.get(schema);
    if (!meta) throw new ConfigError(`${name} was declared without a description`);
    return { name, ...meta };
  });
}

function quote(raw: string | undefined): string {
  if (raw === undefined) return '(unset)';
  return JSON.stringify(raw.length > 60 ? `${raw.slice(0, 60)}…` : raw);
}

/** Variables every service reads. */
export const commonEnv = {
  HOST: text('Address the HTTP servers listen on.', { default: '0.0.0.0' }),
  ADMIN_PORT: port('Port of `/metrics`, `/livez` and `/readyz`.', 9090),
  LOG_LEVEL: oneOf(
    'Least severe level that is logged.',
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal'],
    'info',
  ),
  STREAM_NAME: text('Kinesis stream.', {
    default: 'anomaly-stream',
    pattern: /^[a-zA-Z0-9_.-]{1,128}$/,
    accepts: '1-128 letters, digits, `_`, `.` or `-`',
  }),
  AWS_REGION: text('AWS region of the stream and the tables.', {
    default: 'ap-south-1',
    pattern: /^[a-z0-9-]{1,64}$/,
    accepts: 'region name',
  }),
  AWS_ENDPOINT_URL: optionalUrl('Endpoint of all AWS services, for emulators and VPC endpoints.'),
  AWS_ENDPOINT_URL_KINESIS: optionalUrl('Endpoint of Kinesis; wins over `AWS_ENDPOINT_URL`.'),
  AWS_ENDPOINT_URL_DYNAMODB: optionalUrl('Endpoint of DynamoDB; wins over `AWS_ENDPOINT_URL`.'),
  SHUTDOWN_TIMEOUT_MS: milliseconds('Time a clean stop may take before the process exits non-zero.', {
    default: 25_000,
    min: 100,
  }),
} as const satisfies EnvShape;

/** Variables of OpenTelemetry that services with traces read. */
export const tracingEnv = {
  OTEL_EXPORTER_OTLP_ENDPOINT: optionalUrl(
    'Collector that traces are sent to, by OTLP over HTTP, like `http://collector:4318`; `/v1/traces` is added. Left out: no traces.',
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optionalUrl(
    'The same, whole and as it is; wins over `OTEL_EXPORTER_OTLP_ENDPOINT`.',
  ),
  OTEL_TRACES_SAMPLER_ARG: decimal(
    'Share of the traces that begin here which are kept. A trace that a client began is kept when its `traceparent` says so.',
    { default: 1, min: 0, max: 1 },
  ),
  OTEL_SERVICE_NAME: optionalText('Name of the service in its traces, instead of `weir-<service>`.'),
} as const satisfies EnvShape;

const table = (description: string, name: string) =>
  text(description, {
    default: name,
    pattern: /^[a-zA-Z0-9_.-]{3,255}$/,
    accepts: '3-255 letters, digits, `_`, `.` or `-`',
  });

/** The tables of one consumer group. */
export const tableEnv = {
  RECORDS_TABLE: table('DynamoDB table of scored events.', 'anomaly-stream-records'),
  LEASE_TABLE: table(
    'DynamoDB table of leases and checkpoints, laid out as KCL 3 does.',
    'anomaly-stream-leases',
  ),
  DEAD_LETTER_TABLE: table(
    'DynamoDB table of records that could not be processed.',
    'anomaly-stream-dead-letters',
  ),
  STATE_TABLE: table(
    "DynamoDB table of the sources' states and of rollups; left alone while nothing is kept of a source.",
    'anomaly-stream-state',
  ),
} as const satisfies EnvShape;
