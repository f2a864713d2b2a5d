/** One user record of a shard, wherever it was fetched from. */
export interface StreamRecord {
  shardId: string;
  sequenceNumber: string;
  /** Its number inside the aggregate it came in, from 0; undefined for a record that was put by itself. */
  subSequenceNumber?: number;
  partitionKey: string;
  /**
   * Partition key of the Kinesis record it came in, where that is another one and only it says what is read in order
   * with what: behind an event source mapping that works on several partition keys of a shard at once.
   */
  lane?: string;
  data: Uint8Array;
  /** When Kinesis took it, in ms since the epoch. */
  arrivedAt: number;
  /** Set on what was already refused when it was taken apart: it is no event, and becomes a dead letter. */
  refused?: { reason: string; message: string };
}

/** What one read of a shard gave. */
export interface FetchedBatch {
  /** To be gone through once: aggregates are taken apart on the way. */
  records: Iterable<StreamRecord>;
  /** How far behind the tip of the shard the read is, in ms; 0 when caught up. */
  millisBehindLatest: number;
  /** True when the shard is closed and everything in it was read. */
  ended: boolean;
  /** With `ended`: the shards that took over, as Kinesis named them. */
  childShardIds?: readonly string[];
}
