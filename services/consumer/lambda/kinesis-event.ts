import type { KinesisStreamRecord } from 'aws-lambda';
import { type AggregateRules, userRecords } from '../fetch/user-records.ts';
import type { StreamRecord } from '../record.ts';
import type { HashKeyRange } from './shard-ranges.ts';

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
