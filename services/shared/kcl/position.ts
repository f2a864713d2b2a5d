/** Where a shard's processing stands that has no sequence number yet, or no more. KCL's `SentinelCheckpoint`. */
export type Sentinel = 'TRIM_HORIZON' | 'LATEST' | 'AT_TIMESTAMP' | 'SHARD_END';

/**
 * The last record of a shard that is done with: KCL's `ExtendedSequenceNumber`.
 * `subSequenceNumber` counts user records inside an aggregated record, and is 0 for a plain one.
 */
export interface Checkpoint {
  /** Decimal digits, or a sentinel. */
  sequenceNumber: string;
  subSequenceNumber: number;
}

export const SHARD_END: Checkpoint = { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 };
