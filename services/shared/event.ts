import * as z from 'zod';
import { InvalidEventError } from './errors.ts';
import { parseTime } from './iso-time.ts';
import { assertStorableJson, type JsonObject, MAX_JSON_PARTS, MAX_STREAM_JSON_PARTS } from './json.ts';

/** What `source` is when a client leaves it out; also the partition key then. */
export const DEFAULT_SOURCE = 'default-partition';
export const MAX_SOURCE_BYTES = 256;
/** Longest `request_id` that is read from the stream; ours are UUIDs, other writers may have their own. */
const MAX_REQUEST_ID_BYTES = 256;

/** The magnitudes of a DynamoDB number other than zero: from the first, up to but without the second. */
const MIN_STORABLE = 1e-130;
const ABOVE_STORABLE = 1e126;

/** True when DynamoDB's number type can hold `n`: zero, or a magnitude of 1e-130 to 9.99…e125. */
export function isStorableNumber(n: number): boolean {
  const magnitude = Math.abs(n);
  return magnitude === 0 || (magnitude >= MIN_STORABLE && magnitude < ABOVE_STORABLE);
}

const sourceField = z
  .string({ error: 'must be a string' })
  .refine((s) => s !== '' && Buffer.byteLength(s) <= MAX_SOURCE_BYTES, {
    error: `must be 1 to ${MAX_SOURCE_BYTES} bytes of UTF-8`,
  })
  .default(DEFAULT_SOURCE)
  .meta({
    description: `Where the event comes from, 1 to ${MAX_SOURCE_BYTES} bytes; also its partition key, so events of a source stay in order.`,
  });

const NOT_A_NUMBER = { error: 'must be a finite number, or a string that holds one' };
const NUMERIC = /^[+-]?(\d{1,400}\.?\d{0,400}|\.\d{1,400})(e[+-]?\d{1,4})?$/i;

const amountField = z
  .union([z.number(), z.string().regex(NUMERIC, NOT_A_NUMBER)], NOT_A_NUMBER)
  .transform(Number)
  .refine(Number.isFinite, { ...NOT_A_NUMBER, abort: true })
  .refine(isStorableNumber, { error: 'must be 0 or have a magnitude of 1e-130 to 9.99e125' })
  .meta({ description: 'The value that is scored. A numeric string is accepted and becomes a number.' });

const timestampField = z
  .union([z.iso.datetime({ offset: true, local: true }), z.iso.date()], {
    error: 'must be an ISO 8601 date or date-time',
  })
  .refine((s) => s.length <= 64, { error: 'must be at most 64 characters' })
  .meta({
    description:
      'When it happened, ISO 8601; without an offset it is read as UTC. Left out: the time of ingestion.',
  });

/** What a client posts. Unknown fields are kept as they are. */
export const eventSchema = z.looseObject({
  source: sourceField,
  amount: amountField,
  timestamp: timestampField.optional(),
});

/** What the stream carries, and a client gets back. */
export const enrichedEventSchema = z.looseObject({
  source: z.string(),
  amount: z.number(),
  timestamp: z.string(),
  ingestion_timestamp: z.iso.datetime().meta({ description: 'When the producer accepted it.' }),
  source_ip: z.string().meta({ description: 'The address that sent it.' }),
  request_id: z.uuid().meta({ description: "The event's identity; key of its result." }),
});

/** A valid event as it came in: `source` filled in, `amount` a number, other fields untouched. */
export interface IncomingEvent {
  source: string;
  amount: number;
  timestamp?: string | undefined;
  [field: string]: unknown;
}

/** What the producer puts on the stream: the event and what the producer knows of it. */
export interface EnrichedEvent extends IncomingEvent {
  timestamp: string;
  /** When the producer accepted it, ISO 8601 UTC with ms. */
  ingestion_timestamp: string;
  source_ip: string;
  /** UUID, the event's identity: version 7, or version 5 of the client's idempotency key. */
  request_id: string;
  /** W3C trace context of the request that brought it. */
  traceparent?: string;
}

/** Fields the producer sets; what a client puts there is overwritten. */
export type Enrichment = Pick<
  EnrichedEvent,
  'ingestion_timestamp' | 'source_ip' | 'request_id' | 'traceparent'
>;

/**
 * Checks an event against the contract.
 *
 * @param value any parsed JSON.
 * @param maxParts as `MAX_JSON_PARTS` counts.
 * @throws InvalidEventError with a pointer and a reason for each bad field.
 */
export function parseEvent(value: unknown, maxParts: number = MAX_JSON_PARTS): IncomingEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidEventError('event-invalid', [{ pointer: '', detail: 'must be a JSON object' }]);
  }
  assertStorableJson(value, maxParts);
  if (isPlain(value)) return value;
  const result = eventSchema.safeParse(value);
  if (result.success) return result.data as IncomingEvent;
  throw new InvalidEventError(
    'event-invalid',
    result.error.issues.map((issue) => ({
      pointer: issue.path.length > 0 ? `/${issue.path.map(String).join('/')}` : '',
      detail: issue.path.length > 0 && !(String(issue.path[0]) in value) ? 'is required' : issue.message,
    })),
  );
}

/** At three bytes of UTF-8 at most for each of its units, within `MAX_SOURCE_BYTES`. */
const PLAIN_SOURCE_LENGTH = Math.floor(MAX_SOURCE_BYTES / 3);
/** What most clients send. Days from the 29th on, which not all months have, are for the schema. */
const PLAIN_TIMESTAMP =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z$/;

/**
 * True for an event that `eventSchema` would take and give back unchanged, told at a tenth of its cost. A shortcut
 * only: what it doesn't know goes through the schema.
 */
function isPlain(value: object): value is IncomingEvent {
  const { source, amount, timestamp } = value as Record<string, unknown>;
  return (
    typeof source === 'string' &&
    source !== '' &&
    source.length <= PLAIN_SOURCE_LENGTH &&
    typeof amount === 'number' &&
    isStorableNumber(amount) &&
    (timestamp === undefined || (typeof timestamp === 'string' && PLAIN_TIMESTAMP.test(timestamp)))
  );
}

/** The event as the stream carries it. Enrichment wins over fields of the same name. */
export function enrichEvent(event: IncomingEvent, enrichment: Enrichment): EnrichedEvent {
  return { ...event, timestamp: event.timestamp ?? enrichment.ingestion_timestamp, ...enrichment };
}

/** An event read back from the stream, whoever put it there. */
export interface StreamEvent {
  /** The UUID in `request_id`; `undefined` when the writer was not our producer. */
  requestId: string | undefined;
  source: string;
  amount: number;
  /** As posted; `undefined` when the writer left it out. */
  timestamp: string | undefined;
  /** When the producer accepted it, in ms since the epoch, if it says so. */
  ingestedAt: number | undefined;
  /** All fields as they came; those that are not in `STREAM_FIELDS` are payload. */
  fields: JsonObject;
}

/** Field of a record that was a dead letter, with the id of that. */
export const REDRIVEN_FROM = 'redriven_from';

/** Fields of a stream event that are not payload: each has its own place. `ingestion_timestamp` and `source_ip` are payload. */
export const STREAM_FIELDS: ReadonlySet<string> = new Set([
  'source',
  'amount',
  'timestamp',
  'request_id',
  REDRIVEN_FROM,
]);

/**
 * Checks a decoded stream record against the same contract as `parseEvent`; a record without `source` belongs
 * to its partition key, which is what keeps it in order.
 *
 * @throws InvalidEventError as `parseEvent` does.
 */
export function parseStreamEvent(value: unknown, partitionKey: string): StreamEvent {
  const event = parseEvent(value, MAX_STREAM_JSON_PARTS);
  const { source, amount, timestamp, request_id, ingestion_timestamp: ingested } = event;
  assertRequestId(request_id);
  const explicit = (value as JsonObject).source !== undefined;
  const ingestedAt = typeof ingested === 'string' ? parseTime(ingested) : Number.NaN;
  return {
    requestId: request_id,
    source: explicit ? source : partitionKey,
    amount,
    timestamp,
    ingestedAt: Number.isNaN(ingestedAt) ? undefined : ingestedAt,
    fields: event as JsonObject,
  };
}

/** It becomes the item's key, so it must be one that DynamoDB takes. */
function assertRequestId(id: unknown): asserts id is string | undefined {
  if (id === undefined) return;
  if (typeof id === 'string' && id !== '' && Buffer.byteLength(id) <= MAX_REQUEST_ID_BYTES) return;
  const detail = `must be a string of 1 to ${MAX_REQUEST_ID_BYTES} bytes`;
  throw new InvalidEventError('event-invalid', [{ pointer: '/request_id', detail }]);
}
