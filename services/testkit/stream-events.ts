import { deaggregate } from '../shared/kpl/aggregate.ts';

/** A Kinesis record, wherever it was read. */
export interface KinesisRecord {
  shardId: string;
  sequenceNumber: string;
  partitionKey: string;
  data: Uint8Array;
}

/** An event of the stream and its place. */
export interface StreamEvent {
  shardId: string;
  sequenceNumber: string;
  subSequenceNumber?: number;
  partitionKey: string;
  event: { request_id: string; source: string; amount: number; [field: string]: unknown };
}

/** The events in a record that the producer put, aggregates taken apart. */
export function eventsOf({ shardId, sequenceNumber, partitionKey, data }: KinesisRecord): StreamEvent[] {
  const parse = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as StreamEvent['event'];
  const read = deaggregate(data);
  if (read.kind === 'corrupt') throw new Error(`corrupt aggregate: ${read.problem}`);
  if (read.kind === 'plain') return [{ shardId, sequenceNumber, partitionKey, event: parse(data) }];
  return Array.from(read.records, (record, subSequenceNumber) => ({
    shardId,
    sequenceNumber,
    subSequenceNumber,
    partitionKey: record.partitionKey,
    event: parse(record.data),
  }));
}
