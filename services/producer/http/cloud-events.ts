import type { IncomingHttpHeaders } from 'node:http';
import * as z from 'zod';
import type { FieldProblem } from '../../shared/errors.ts';
import type { RawEvent } from '../ingest/raw-event.ts';
import { HttpProblem } from './problems.ts';

const NAME = /^[a-z0-9]{1,64}$/;
const required = z
  .string({ error: 'is required and must be a string' })
  .min(1, 'must not be empty')
  .max(1024);
const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Context attributes and data of a CloudEvent 1.0 in the JSON format (CloudEvents spec 1.0.2, §2 and json-format §3). */
export const cloudEventSchema = z
  .looseObject({
    specversion: z.literal('1.0', { error: 'must be "1.0"' }),
    id: required.meta({ description: 'With `source`, the idempotency key.' }),
    source: required.meta({ description: "The event's `source`." }),
    type: required,
    time: z
      .string({ error: 'must be a string' })
      .optional()
      .meta({ description: "The event's `timestamp`." }),
    data: z
      .custom<Record<string, unknown>>(isObject, { error: 'must be a JSON object that holds "amount"' })
      .meta({ description: 'The other fields of the event, `amount` among them.' }),
  })
  .refine((event) => event.data_base64 === undefined, {
    path: ['data_base64'],
    error: 'binary data has no amount; send JSON in "data"',
  });

/**
 * A CloudEvent as an event: `source` and `time` become the event's `source` and `timestamp`, the fields of `data` are its
 * fields, `id` is its idempotency key, and all context attributes are kept in the field `cloudevent`.
 *
 * @throws HttpProblem 422 with the attributes that are wrong.
 */
export function fromCloudEvent(value: unknown): RawEvent {
  const result = cloudEventSchema.safeParse(value);
  if (!result.success) {
    const errors: FieldProblem[] = result.error.issues.map((issue) => ({
      pointer: issue.path.length > 0 ? `/${issue.path.map(String).join('/')}` : '',
      detail: issue.message,
    }));
    throw new HttpProblem('event-invalid', 'this is not a CloudEvent 1.0 with JSON data', { errors });
  }
  const { data, ...attributes } = result.data;
  const { id, source, time } = attributes;
  return {
    value: { ...data, source, ...(time === undefined ? {} : { timestamp: time }), cloudevent: attributes },
    idempotencyKey: id,
    clientId: id,
  };
}

/** True for a request in binary mode: the attributes are in `ce-` headers, the body is the data. */
export function isBinaryMode(headers: IncomingHttpHeaders): boolean {
  return headers['ce-specversion'] !== undefined || headers['ce-id'] !== undefined;
}

/**
 * As `fromCloudEvent`, for binary mode (CloudEvents HTTP protocol binding 1.0.2, §3.1).
 *
 * @param data the parsed body.
 */
export function fromBinaryMode(headers: IncomingHttpHeaders, data: unknown): RawEvent {
  const event: Record<string, unknown> = { data };
  for (const [header, value] of Object.entries(headers)) {
    const name = header.startsWith('ce-') ? header.slice(3) : '';
    if (!NAME.test(name) || name === 'data' || typeof value !== 'string') continue;
    event[name] = percentDecoded(value);
  }
  return fromCloudEvent(event);
}

/** Header values carry characters beyond ASCII percent-encoded (HTTP protocol binding, §3.1.3.2). */
function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value.replace(/%(?![0-9a-f]{2})/gi, '%25'));
  } catch {
    throw new HttpProblem('event-invalid', 'a ce- header is not percent-encoded UTF-8');
  }
}
