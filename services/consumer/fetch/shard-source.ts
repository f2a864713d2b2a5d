import type { _Record as KinesisRecord } from '@aws-sdk/client-kinesis';
import type { ReadFrom } from '../lineage/lineage.ts';

/** Where a read begins: as the lease says, then after what was read. */
export type Position = ReadFrom | { type: 'AFTER_SEQUENCE_NUMBER'; sequenceNumber: string };

/** What Kinesis gave at once, in the order of the shard. */
export interface RawBatch {
  records: readonly KinesisRecord[];
  /** How far behind the tip of the shard it is, in ms; 0 when caught up. */
  millisBehindLatest: number;
  /** Sequence number after which reading goes on; undefined when there is none yet, and at the end of the shard. */
  continueAfter: string | undefined;
  /** The shards that took over, once the shard is closed and everything in it was read; else undefined. */
  children: readonly string[] | undefined;
}

/** One way to read one shard. */
export interface ShardSource {
  /**
   * What the shard has from a position on, as it comes. Ends after the batch with `children`; also before, when it
   * wants to be opened anew after the last batch. Asked for no batch, it reads nothing.
   *
   * @param signal ends it, and frees what it holds.
   * @param progress called at every attempt and answer.
   * @throws whatever a call failed with; it is then to be opened anew after the last batch.
   */
  read(position: Position, signal: AbortSignal, progress: () => void): AsyncIterable<RawBatch>;
}

/** Makes the source of a shard. */
export type ShardSourceFactory = (shardId: string) => ShardSource;

/** A position as GetShardIterator and SubscribeToShard take it. */
export function toApi(position: Position): {
  Type: Position['type'];
  SequenceNumber?: string;
  Timestamp?: Date;
} {
  switch (position.type) {
    case 'AFTER_SEQUENCE_NUMBER':
      return { Type: position.type, SequenceNumber: position.sequenceNumber };
    case 'AT_SEQUENCE_NUMBER':
      return { Type: position.type, SequenceNumber: position.done.sequenceNumber };
    case 'AT_TIMESTAMP':
      return { Type: position.type, Timestamp: new Date(position.timestamp) };
    default:
      return { Type: position.type };
  }
}
