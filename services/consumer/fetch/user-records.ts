import type { Checkpoint } from '../../shared/kcl/position.ts';
import { deaggregate } from '../../shared/kpl/aggregate.ts';
import type { StreamRecord } from '../record.ts';

/**
 * The user records in a Kinesis record: itself, unless it is a KPL aggregate. One that begins like an aggregate and is
 * none stays whole, as in KCL; the pipeline then finds that it is no event and keeps it as a dead letter.
 *
 * User records whose hash key lies outside their shard's range are kept, where KCL drops them: their producer may
 * have died before it sent them again, and one that comes twice has the same `request_id`, so it counts once.
 */
export function userRecords(record: StreamRecord): StreamRecord[] {
  const read = deaggregate(record.data);
  if (read.kind !== 'aggregate') return [record];
  const { shardId, sequenceNumber, arrivedAt } = record;
  return read.records.map(({ partitionKey, data }, subSequenceNumber) => ({
    shardId,
    sequenceNumber,
    subSequenceNumber,
    partitionKey,
    data,
    arrivedAt,
  }));
}

/** True for a record that a checkpoint says is done with. Its own Kinesis record only: later ones are not looked at. */
export function isDone({ sequenceNumber, subSequenceNumber = 0 }: StreamRecord, done: Checkpoint): boolean {
  return sequenceNumber === done.sequenceNumber && subSequenceNumber <= done.subSequenceNumber;
}

/** Where a slice of at least `size` records ends, so that it doesn't cut an aggregate in two. */
export function endOfSlice(records: readonly StreamRecord[], start: number, size: number): number {
  let end = Math.min(start + size, records.length);
  while (end < records.length && records[end]?.sequenceNumber === records[end - 1]?.sequenceNumber) end++;
  return end;
}
