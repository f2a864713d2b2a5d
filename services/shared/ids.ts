import { randomFillSync } from 'node:crypto';
import { v5, validate } from 'uuid';

/** Namespace of ids derived from idempotency keys: UUIDv5 of the DNS name `idempotency.weir.dev`. */
const IDEMPOTENCY_NAMESPACE = '6d7cfe69-e394-5bb5-b898-aff667dd47bf';
/** Namespace of ids derived from stream positions: UUIDv5 of the DNS name `position.weir.dev`. */
const POSITION_NAMESPACE = 'b3fdc8b7-a739-567b-b662-7e10568b1e3b';

/** Ids whose random parts are made at a time: asking for random bytes id by id is a tenth of what an event costs. */
const POOL_IDS = 256;
/** The random part of an id: three digits, the variant and three digits, twelve digits. */
const TAIL = 'xxx-vxxx-xxxxxxxxxxxx';
const VARIANTS = '89ab';
const DASH = 0x2d;
const HEX = '0123456789abcdef';
const random = Buffer.alloc(POOL_IDS * TAIL.length);
/** Random parts, one behind the other. */
let tails = '';
let used = 0;
let stampedAt = -1;
/** The part of an id that is the same within a millisecond: time and version. */
let stamp = '';

/**
 * A new `request_id`: UUIDv7 (RFC 9562), so ids sort by time of acceptance, to the millisecond. By hand, because this is
 * for each event of a batch, and the library's takes three times as long, 0.3 µs more.
 */
export function newRequestId(): string {
  const now = Date.now();
  if (now !== stampedAt) {
    stampedAt = now;
    const time = now.toString(16).padStart(12, '0');
    stamp = `${time.slice(0, 8)}-${time.slice(8)}-7`;
  }
  if (used === tails.length) {
    tails = randomTails();
    used = 0;
  }
  used += TAIL.length;
  return stamp + tails.slice(used - TAIL.length, used);
}

/** A random byte a character, of which 4 bits are used, or 2 for the variant. */
function randomTails(): string {
  randomFillSync(random);
  for (let at = 0; at < random.length; at += TAIL.length) {
    const variant = VARIANTS.charCodeAt((random[at + 4] ?? 0) & 3);
    for (let i = at; i < at + TAIL.length; i++) random[i] = HEX.charCodeAt((random[i] ?? 0) & 15);
    random[at + 3] = DASH;
    random[at + 4] = variant;
    random[at + 8] = DASH;
  }
  return random.toString('latin1');
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
