/** Where a shard's processing stands that has no sequence number yet, or no more. KCL's `SentinelCheckpoint`. */
export type Sentinel = 'TRIM_HORIZON' | 'LATEST' | 'AT_TIMESTAMP' | 'SHARD_END';

const SENTINELS: ReadonlySet<string> = new Set<Sentinel>([
  'TRIM_HORIZON',
  'LATEST',
  'AT_TIMESTAMP',
  'SHARD_END',
]);

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

export function isSentinel(sequenceNumber: string): sequenceNumber is Sentinel {
  return SENTINELS.has(sequenceNumber);
}

/**
 * Orders two sequence numbers (decimal, up to 129 digits, no leading zeros) without a BigInt each.
 *
 * @returns negative, zero or positive, as a comparator does.
 */
export function compareSequenceNumbers(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
