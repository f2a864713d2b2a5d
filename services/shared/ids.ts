import { v5, v7, validate } from 'uuid';

/** Namespace of ids derived from idempotency keys: UUIDv5 of the DNS name `idempotency.weir.dev`. */
const IDEMPOTENCY_NAMESPACE = '6d7cfe69-e394-5bb5-b898-aff667dd47bf';
/** Namespace of ids derived from stream positions: UUIDv5 of the DNS name `position.weir.dev`. */
const POSITION_NAMESPACE = 'b3fdc8b7-a739-567b-b662-7e10568b1e3b';

/** A new `request_id`: UUIDv7 (RFC 9562), so ids sort by time of acceptance. */
export function newRequestId(): string {
  return v7();
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
