import { GetRecordsCommand, GetShardIteratorCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import type { Checkpoint } from '../../shared/kcl/position.ts';
import { streamRef } from '../../shared/list-shards.ts';

/** Where the first record that isn't processed is looked for. */
export type ProbeFrom =
  | { type: 'AFTER_SEQUENCE_NUMBER'; sequenceNumber: string }
  | { type: 'TRIM_HORIZON' }
  | { type: 'AT_TIMESTAMP' /** ms since the epoch. */; timestamp: number };

/**
 * Where a probe starts for a checkpoint; `undefined` when that can't be known, as for a KCL lease that began at a
 * time of its own configuration.
 *
 * @param since when a lease at `LATEST` was made or first seen, in ms since the epoch.
 */
export function probeFrom(checkpoint: Checkpoint | undefined, since: number): ProbeFrom | undefined {
  if (!checkpoint) return { type: 'TRIM_HORIZON' };
  switch (checkpoint.sequenceNumber) {
    case 'TRIM_HORIZON':
      return { type: 'TRIM_HORIZON' };
    case 'LATEST':
      return { type: 'AT_TIMESTAMP', timestamp: since };
    case 'AT_TIMESTAMP':
    case 'SHARD_END':
      return undefined;
    default:
      return { type: 'AFTER_SEQUENCE_NUMBER', sequenceNumber: checkpoint.sequenceNumber };
  }
}

/**
 * The age of the first record after a position, in seconds: 0 when there is none. One GetShardIterator and one
 * GetRecords call for a single record, on the shard's budget of 5 reads a second that the consumers live on too.
 *
 * @param now ms since the epoch.
 */
export async function probeLag(
  client: KinesisClient,
  stream: string,
  shardId: string,
  from: ProbeFrom,
  now: () => number,
): Promise<number> {
  const { ShardIterator } = await client.send(
    new GetShardIteratorCommand({
      ...streamRef(stream),
      ShardId: shardId,
      ShardIteratorType: from.type,
      ...(from.type === 'AFTER_SEQUENCE_NUMBER' ? { StartingSequenceNumber: from.sequenceNumber } : {}),
      ...(from.type === 'AT_TIMESTAMP' ? { Timestamp: new Date(from.timestamp) } : {}),
    }),
  );
  if (ShardIterator === undefined) return 0; // closed, and the position is behind its last record
  const { Records, MillisBehindLatest } = await client.send(
    new GetRecordsCommand({ ...arnOnly(stream), ShardIterator, Limit: 1 }),
  );
  const arrivedAt = Records?.[0]?.ApproximateArrivalTimestamp?.getTime();
  // A read may come back empty in the midst of a backlog; the distance to the tip is told all the same.
  const millis = arrivedAt === undefined ? (MillisBehindLatest ?? 0) : now() - arrivedAt;
  return Math.max(0, millis) / 1000;
}

/** GetRecords takes an ARN, but no name. */
function arnOnly(stream: string): { StreamARN?: string } {
  return stream.startsWith('arn:') ? { StreamARN: stream } : {};
}
