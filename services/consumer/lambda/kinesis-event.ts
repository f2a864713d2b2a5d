import type { KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';
import { WeirError } from '../../shared/errors.ts';
import { type AggregateRules, userRecords } from '../fetch/user-records.ts';
import type { StreamRecord } from '../record.ts';
import type { HashKeyRange } from './shard-ranges.ts';

/**
 * Of another source's event nothing is a record: it is refused before anything is done.
 *
 * @throws WeirError `event-source-unknown`, which says what came instead.
 */
export function checkEvent(event: unknown): asserts event is KinesisStreamEvent {
  const records = (event as { Records?: unknown } | null)?.Records;
  if (!Array.isArray(records)) throw refusal('the event has no list of Records');
  for (const [n, record] of records.entries()) {
    const { eventID, eventSource, kinesis } = (record ?? {}) as Partial<KinesisStreamRecord>;
    const whole =
      typeof eventID === 'string' &&
      typeof kinesis?.sequenceNumber === 'string' &&
      typeof kinesis.partitionKey === 'string' &&
      typeof kinesis.data === 'string' &&
      Number.isFinite(kinesis.approximateArrivalTimestamp);
    if (!whole)
      throw refusal(`record ${n} is none, of event source ${JSON.stringify(eventSource)?.slice(0, 60)}`);
  }
}

function refusal(what: string): WeirError {
  return new WeirError(
    'event-source-unknown',
    `${what}: this function takes what an event source mapping of a Kinesis stream invokes it with`,
  );
}

/** The user records in one record of an event of the event source mapping, one after another. */
export function* fromEvent(
  { eventID, kinesis }: KinesisStreamRecord,
  rules: AggregateRules,
  range: HashKeyRange | undefined,
): Generator<StreamRecord> {
  const { sequenceNumber, partitionKey } = kinesis;
  const records = userRecords(
    {
      shardId: shardOf(eventID),
      sequenceNumber,
      partitionKey,
      data: Buffer.from(kinesis.data, 'base64'),
      arrivedAt: Math.round(kinesis.approximateArrivalTimestamp * 1000),
    },
    rules,
    range && { starting: BigInt(range.starting), ending: BigInt(range.ending) },
  );
  // The mapping keeps apart what has different partition keys, and runs it at once: docs/adr/0012.
  for (const record of records) {
    if (record.partitionKey !== partitionKey) record.lane = partitionKey;
    yield record;
  }
}

/** @param eventId `shardId-000000000006:49590338271490256608559692538361571095921575989136588898`. */
export function shardOf(eventId: string): string {
  return eventId.slice(0, eventId.indexOf(':'));
}
