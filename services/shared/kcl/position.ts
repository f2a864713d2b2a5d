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

const SENTINELS: ReadonlySet<string> = new Set<Sentinel>([
  'TRIM_HORIZON',
  'LATEST',
  'AT_TIMESTAMP',
  'SHARD_END',
]);

/** True for the text of a sequence number or a sentinel; anybody may have written another one into a row. */
export function isPosition(text: string): boolean {
  return SENTINELS.has(text) || /^\d{1,129}$/.test(text);
}

export const SHARD_END: Checkpoint = { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 };

/**
 * Whether `one` comes before `other` in a shard, as KCL's `ExtendedSequenceNumber` compares: where a shard starts, its
 * sequence numbers, its end. The sentinels of a start are no place, so none of them is before another.
 */
export function isBefore(one: Checkpoint, other: Checkpoint): boolean {
  const [a, b] = [rankOf(one), rankOf(other)];
  if (a !== b || a !== RANKS.sequenceNumber) return a < b;
  const [x, y] = [one.sequenceNumber, other.sequenceNumber];
  if (x === y) return one.subSequenceNumber < other.subSequenceNumber;
  // Decimal digits without leading zeros: the longer one is larger.
  return x.length === y.length ? x < y : x.length < y.length;
}

const RANKS = { start: 0, sequenceNumber: 1, end: 2 } as const;

function rankOf({ sequenceNumber }: Checkpoint): number {
  if (sequenceNumber === SHARD_END.sequenceNumber) return RANKS.end;
  return /^\d/.test(sequenceNumber) ? RANKS.sequenceNumber : RANKS.start;
}
