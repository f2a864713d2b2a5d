import { randomFillSync } from 'node:crypto';
import { v5, v7, validate } from 'uuid';

/** Namespace of ids derived from idempotency keys: UUIDv5 of the DNS name `idempotency.weir.dev`. */
const IDEMPOTENCY_NAMESPACE = '6d7cfe69-e394-5bb5-b898-aff667dd47bf';
/** Namespace of ids derived from stream positions: UUIDv5 of the DNS name `position.weir.dev`. */
const POSITION_NAMESPACE = 'b3fdc8b7-a739-567b-b662-7e10568b1e3b';

/** Random bytes of many ids: asking for them one id at a time is a tenth of what an event costs. */
const pool = new Uint8Array(16 * 256);
let used = pool.length;

/** A new `request_id`: UUIDv7 (RFC 9562), so ids sort by time of acceptance, to the millisecond. */
export function newRequestId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + 16);
  used += 16;
  return v7({ random });
}

/**
 * The `request_id` of an event that came with an idempotency key: the same source and key give the same id in
 * every pod, so that a retry counts once in the records table. Keys of different sources never collide.
 */
export function requestIdFromKey(source: string, key: string): string {
  return v5(`${source}\n${key}`, IDEMPOTENCY_NAMESPACE);
}

/**
 * The id of a record that was put on the stream without a `request_id` (not by our producer): derived from its
 * position, so that a redelivery gets the same one.
 */
export function idFromPosition(stream: string, sequenceNumber: string, subSequenceNumber: number): string {
  return v5(`${stream}\n${sequenceNumber}\n${subSequenceNumber}`, POSITION_NAMESPACE);
}

export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && validate(value);
}
