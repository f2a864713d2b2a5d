import * as z from 'zod';
import { enrichedEventSchema, eventSchema } from '../../shared/event.ts';
import { cloudEventSchema } from './cloud-events.ts';
import { PROBLEMS, type ProblemCode } from './problems.ts';

const position = {
  shard_id: z.string().meta({ examples: ['shardId-000000000001'] }),
  sequence_number: z
    .string()
    .regex(/^\d+$/)
    .meta({ description: 'Its place on the shard: a number of up to 129 digits, as text.' }),
  sub_sequence_number: z
    .int()
    .min(0)
    .optional()
    .meta({ description: 'Its place in the aggregate that carried it; absent for a record by itself.' }),
};

/** What `POST /send` answers. */
const sentSchema = z.strictObject({
  status: z.literal('sent'),
  payload: enrichedEventSchema,
  kinesis_response: z.strictObject(position),
});

const fieldProblem = z.strictObject({
  pointer: z.string().meta({ description: 'JSON pointer to the field; empty for the whole document.' }),
  detail: z.string(),
});
const problem = {
  type: z.string().regex(/^urn:weir:problem:[a-z-]+$/),
  title: z.string().meta({ description: 'What is wrong, the same words for each of this code.' }),
  status: z.int(),
  detail: z.string().meta({ description: 'What is wrong with this one, and what to do about it.' }),
  code: z
    .enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]])
    .meta({ description: 'Stable: clients may match on it.' }),
  errors: z.array(fieldProblem).optional().meta({ description: 'Each bad field.' }),
};

/** What is answered with a status of 400 or more (RFC 9457). */
const problemSchema = z.strictObject({
  ...problem,
  instance: z
    .string()
    .regex(/^urn:uuid:/)
    .meta({ description: 'Names the request in our logs.' }),
});

const clientId = z.union([z.string(), z.number()]).optional().meta({ description: "The event's own `id`." });
const storedResult = z.strictObject({
  status: z.literal(200),
  id: clientId,
  request_id: z.uuid(),
  ...position,
});
const failedResult = z.strictObject({
  id: clientId,
  ...problem,
  retry_after_seconds: z.int().min(1).optional().meta({ description: 'Where waiting helps.' }),
});
const counts = { total: z.int(), stored: z.int(), failed: z.int() };

/** What `POST /send/batch` answers, in full and with `?compact=true`. */
const batchSchema = z.union([
  z.strictObject({
    ...counts,
    results: z
      .array(z.union([storedResult, failedResult]))
      .meta({ description: 'One for each event, in order; left out with `compact`.' }),
  }),
  z.strictObject({
    ...counts,
    failures: z
      .array(
        z.strictObject({
          index: z.int().meta({ description: "The event's place in the batch, from 0." }),
          ...failedResult.shape,
        }),
      )
      .meta({ description: 'With `compact`.' }),
  }),
]);

const healthSchema = z.strictObject({
  status: z.literal('healthy'),
  timestamp: z.iso.datetime(),
  service: z.literal('kinesis-producer'),
});

const readySchema = z.looseObject({
  ok: z.boolean(),
  status: z.enum(['ready', 'starting', 'draining']),
  reason: z.string().optional(),
  sink: z.enum(['up', 'throttled', 'down', 'unknown']).meta({ description: 'How Kinesis answered lately.' }),
  buffered_records: z.int(),
  buffered_bytes: z.int(),
  oldest_waiting_ms: z.number().meta({ description: 'How long the oldest of the buffer waits.' }),
});

/** Problems that each path answers with. */
const COMMON = [
  ...['request-timeout', 'expectation-unsupported', 'header-too-large'],
  ...['internal', 'draining', 'buffer-full', 'sink-unavailable'],
] as const satisfies readonly ProblemCode[];
const SEND_PROBLEMS: readonly ProblemCode[] = [
  'request-invalid',
  'body-invalid',
  'idempotency-key-invalid',
  'body-too-large',
  'media-type-unsupported',
  'event-invalid',
  'idempotency-key-reused',
  'quota-exceeded',
  'throttled',
  ...COMMON,
];
const BATCH_PROBLEMS: readonly ProblemCode[] = [
  'request-invalid',
  'body-invalid',
  'idempotency-key-invalid',
  'body-too-large',
  'media-type-unsupported',
  ...COMMON,
];

/** How clients say who they are. */
export type AuthMode = 'none' | 'api-key' | 'jwt';
const AUTH_PROBLEMS: Readonly<Record<AuthMode, readonly ProblemCode[]>> = {
  none: [],
  'api-key': ['unauthenticated'],
  jwt: ['unauthenticated', 'auth-unavailable'],
};
const SECURITY_SCHEMES: Readonly<Record<AuthMode, Record<string, object>>> = {
  none: {},
  'api-key': {
    bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
    header: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key.' },
  },
  jwt: {
    bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'A token of the issuer.' },
  },
};

type Io = 'input' | 'output';

/** JSON Schema 2020-12, which OpenAPI 3.1 takes as it is. */
function schemaOf(schema: z.ZodType, io: Io): object {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const json = (name: string, example?: unknown) => ({
  'application/json': { schema: ref(name), ...(example === undefined ? {} : { example }) },
});

function problems(codes: readonly ProblemCode[]): Record<string, object> {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of codes) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      status,
      {
        description: ofStatus.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
        ...headersOf(status),
        content: {
          'application/problem+json': {
            schema: { ...ref('Problem'), properties: { code: { enum: ofStatus } } },
          },
        },
      },
    ]),
  );
}

function headersOf(status: number): { headers?: object } {
  if (status === 401) return { headers: { 'WWW-Authenticate': CHALLENGE } };
  return status === 429 || status === 503 ? { headers: { 'Retry-After': RETRY_AFTER } } : {};
}

const CHALLENGE = { description: 'How to say who you are (RFC 6750).', schema: { type: 'string' } };
const RETRY_AFTER = {
  description: 'Whole seconds until it is worth to try again.',
  schema: { type: 'integer' },
};
const HEADERS = [
  {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'Makes a retry count once. 1 to 255 visible ASCII characters.',
    schema: { type: 'string', maxLength: 257 },
    example: 'reading-4711',
  },
  {
    name: 'traceparent',
    in: 'header',
    description: 'W3C trace context; goes on the stream with the event.',
    schema: { type: 'string' },
  },
];

const EVENT = { source: 'sensor-1', amount: 1500, timestamp: '2026-01-02T03:04:05Z', unit: 'kPa' };
const EVENTS = [
  { id: 'a', source: 'sensor-1', amount: 12.5 },
  { id: 'b', source: 'sensor-2', amount: '1e3' },
];

/** The API of a producer as an OpenAPI 3.1 document, made of the schemas that check it. */
export function openApiDocument(version: string, auth: AuthMode): object {
  const schemes = SECURITY_SCHEMES[auth];
  const security = auth === 'none' ? {} : { security: Object.keys(schemes).map((name) => ({ [name]: [] })) };
  const forbidden: readonly ProblemCode[] = auth === 'none' ? [] : ['source-forbidden'];
  return {
    openapi: '3.1.0',
    info: {
      title: 'Weir producer',
      version,
      summary: 'Events over HTTP into an Amazon Kinesis stream.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths: {
      '/send': {
        post: {
          operationId: 'send',
          summary: 'Send one event; answered when Kinesis has it.',
          ...security,
          parameters: HEADERS,
          requestBody: {
            required: true,
            description: 'An event, or a CloudEvent 1.0 in structured or binary mode.',
            content: {
              ...json('Event', EVENT),
              'application/cloudevents+json': { schema: ref('CloudEvent') },
            },
          },
          responses: {
            200: { description: 'Kinesis has stored it.', content: json('Sent') },
            ...problems([...SEND_PROBLEMS, ...AUTH_PROBLEMS[auth], ...forbidden]),
          },
        },
      },
      '/send/batch': {
        post: {
          operationId: 'sendBatch',
          summary: 'Send many events, each with an outcome of its own.',
          ...security,
          parameters: [
            ...HEADERS,
            {
              name: 'compact',
              in: 'query',
              description: '`true`: the failures only.',
              schema: { type: 'boolean', default: false },
            },
          ],
          requestBody: {
            required: true,
            content: {
              'application/json': { schema: { type: 'array', items: ref('Event') }, example: EVENTS },
              'application/x-ndjson': { schema: { type: 'string', description: 'One event a line.' } },
              'application/cloudevents-batch+json': { schema: { type: 'array', items: ref('CloudEvent') } },
            },
          },
          responses: {
            200: { description: 'Kinesis has stored all of them.', content: json('BatchOutcomes') },
            207: {
              description: 'Some were not stored; each outcome says why.',
              headers: { 'Retry-After': RETRY_AFTER },
              content: json('BatchOutcomes'),
            },
            ...problems([...BATCH_PROBLEMS, ...AUTH_PROBLEMS[auth]]),
          },
        },
      },
      '/health': {
        get: {
          operationId: 'health',
          summary: 'Does the process answer?',
          responses: { 200: { description: 'It does.', content: json('Health') } },
        },
      },
      '/ready': {
        get: {
          operationId: 'ready',
          summary: 'May events come here? Tells what waits.',
          responses: {
            200: { description: 'They may.', content: json('Ready') },
            503: { description: 'Starting, or draining.', content: json('Ready') },
          },
        },
      },
    },
    components: {
      ...(auth === 'none' ? {} : { securitySchemes: schemes }),
      schemas: {
        Event: schemaOf(eventSchema, 'input'),
        CloudEvent: schemaOf(cloudEventSchema, 'input'),
        Sent: schemaOf(sentSchema, 'output'),
        BatchOutcomes: schemaOf(batchSchema, 'output'),
        Problem: schemaOf(problemSchema, 'output'),
        Health: schemaOf(healthSchema, 'output'),
        Ready: schemaOf(readySchema, 'output'),
      },
    },
  };
}
