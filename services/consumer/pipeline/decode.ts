import { InvalidEventError } from '../../shared/errors.ts';
import { parseStreamEvent, REDRIVEN_FROM, type StreamEvent } from '../../shared/event.ts';
import { idFromPosition } from '../../shared/ids.ts';
import { parseTime } from '../../shared/iso-time.ts';
import { decodeRecord } from '../../shared/record.ts';
import type { StreamRecord } from '../record.ts';

/** A record that was understood, with its identity in the records table. */
export interface DecodedRecord {
  record: StreamRecord;
  event: StreamEvent;
  /** The event's `request_id`; for a record that has none, derived from its position. */
  id: string;
  /**
   * What the window of ids knows it by: a redrive is no retry of the record that it was, but each other redrive of the same
   * dead letter is one. It follows from the record alone: whether that one became a dead letter is not known before the
   * results are written, and what a slice holds must decide nothing.
   */
  dedupeId: string;
  /** Event time as posted, or the arrival time of an event that has none; ISO 8601. */
  timestamp: string;
}

/**
 * Bytes to a valid event: UTF-8, JSON, the event contract.
 *
 * @throws InvalidEventError whose `code` becomes the dead letter's reason.
 */
export function decode(record: StreamRecord, stream: string): DecodedRecord {
  const { refused } = record;
  if (refused) throw new InvalidEventError(refused.reason, [{ pointer: '', detail: refused.message }]);
  const event = parseStreamEvent(decodeRecord(record.data), record.partitionKey);
  const id = event.requestId ?? idFromPosition(stream, record.sequenceNumber, record.subSequenceNumber ?? 0);
  const redrivenFrom = event.fields[REDRIVEN_FROM];
  return {
    record,
    event,
    id,
    dedupeId: typeof redrivenFrom === 'string' ? `${id}\n${redrivenFrom}` : id,
    timestamp: event.timestamp ?? new Date(record.arrivedAt).toISOString(),
  };
}

const ZONED = /(Z|[+-]\d\d:?\d\d)$/i;

/** Milliseconds since the epoch of a timestamp of the contract; without an offset it is read as UTC. */
export function eventTime(timestamp: string): number {
  if (timestamp.endsWith('Z')) return parseTime(timestamp);
  const dateOnly = timestamp.length === 10; // ECMAScript reads a bare date as UTC already
  return Date.parse(dateOnly || ZONED.test(timestamp) ? timestamp : `${timestamp}Z`);
}
