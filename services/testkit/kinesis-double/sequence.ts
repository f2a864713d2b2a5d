/**
 * Sequence numbers of 56 digits, laid out as AWS does (186 bits, high to low): 4 bits of version, 36 of the shard's
 * creation in seconds, 4 of its index, 64 of the record's index in the shard, 8 of zero, 36 of the time of arrival in
 * seconds, 32 of the shard's index, 4 of version. So they grow within a shard, and a child that was created in a
 * later second than its parent has larger ones than it. Source: the layout that kinesalite found in AWS's answers.
 */
const VERSION = 2n;
const RECORD_INDEX_SHIFT = 80n;
const SHARD_INDEX_MASK = (1n << 32n) - 1n;
const RECORD_INDEX_MASK = (1n << 64n) - 1n;
/** AWS ends a closed shard with this record index. */
const LAST_RECORD_INDEX = (1n << 63n) - 1n;

/** Makes the sequence numbers of one shard. */
export class SequenceNumbers {
  readonly #base: bigint;

  /** @param createdSecond the shard's creation in seconds since the epoch, later than that of its parents. */
  constructor(shardIndex: number, createdSecond: number) {
    const shard = BigInt(shardIndex);
    this.#base =
      (VERSION << 184n) | (BigInt(createdSecond) << 148n) | ((shard & 15n) << 144n) | (shard << 4n) | VERSION;
  }

  /** @param recordIndex 1 for the shard's first record; 0 is the start of the shard. */
  at(recordIndex: number, arrivedAtMs: number): string {
    const time = BigInt(Math.floor(arrivedAtMs / 1000));
    return (this.#base + (BigInt(recordIndex) << RECORD_INDEX_SHIFT) + (time << 36n)).toString();
  }

  /** The number that ends a shard when it is closed. */
  ending(closedAtMs: number): string {
    const time = BigInt(Math.floor(closedAtMs / 1000));
    return (
      this.#base +
      (LAST_RECORD_INDEX << RECORD_INDEX_SHIFT) +
      (0xffn << 72n) +
      (time << 36n)
    ).toString();
  }

  /** The record index in a sequence number; undefined when it is not one of this shard. */
  recordIndex(sequenceNumber: string): number | undefined {
    if (!/^\d{1,57}$/.test(sequenceNumber)) return undefined;
    const value = BigInt(sequenceNumber);
    const index = (value >> RECORD_INDEX_SHIFT) & RECORD_INDEX_MASK;
    const sameShard =
      value >> 144n === this.#base >> 144n && shardIndexOf(value) === shardIndexOf(this.#base);
    return sameShard ? Number(index) : undefined;
  }
}

function shardIndexOf(value: bigint): bigint {
  return (value >> 4n) & SHARD_INDEX_MASK;
}
