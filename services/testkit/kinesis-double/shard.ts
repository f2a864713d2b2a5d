import type { HashRange } from './hash-key.ts';
import { SequenceNumbers } from './sequence.ts';

/** A record as the double keeps it. */
export interface KeptRecord {
  readonly sequenceNumber: string;
  readonly partitionKey: string;
  /** Base64, as it came: nothing inside the double needs the bytes. */
  readonly data: string;
  /** Partition key and data, in bytes. */
  readonly size: number;
  /** ms since the epoch. */
  readonly arrivedAt: number;
}

/** Trimmed records stay before the kept ones until there are as many of them, or as many bytes, and at least these. */
const COMPACT_RECORDS = 1024;
const COMPACT_BYTES = 1024 * 1024;

/** One shard: its place in the lineage, and its records, oldest first. Records have indexes 1, 2, 3 … that never change. */
export class Shard {
  readonly id: string;
  readonly range: HashRange;
  /** One after a split, two after a merge. */
  readonly parents: readonly Shard[];
  readonly children: Shard[] = [];
  /** ms since the epoch. */
  readonly createdAt: number;
  /** Seconds since the epoch that the sequence numbers carry: later than any parent's. */
  readonly createdSecond: number;
  readonly numbers: SequenceNumbers;
  readonly startingSequenceNumber: string;
  /** ms since the epoch; undefined while it is open. */
  closedAt: number | undefined;
  endingSequenceNumber: string | undefined;
  #kept: KeptRecord[] = [];
  /** Position in `#kept` of the oldest record that was not trimmed. */
  #head = 0;
  readonly #watchers = new Set<() => void>();
  /** Index of `#kept[0]`. */
  #firstIndex = 1;
  #bytes = 0;
  #trimmedBytes = 0;

  constructor(index: number, range: HashRange, parents: readonly Shard[], now: number) {
    this.id = shardId(index);
    this.range = range;
    this.parents = parents;
    this.createdAt = now;
    this.createdSecond = Math.max(
      Math.floor(now / 1000),
      ...parents.map((parent) => parent.createdSecond + 1),
    );
    this.numbers = new SequenceNumbers(index, this.createdSecond);
    this.startingSequenceNumber = this.numbers.at(0, this.createdSecond * 1000);
  }

  /** Index that the next record is going to get. */
  get end(): number {
    return this.#firstIndex + this.#kept.length;
  }

  /** Index of the oldest record that is kept; `end` when there is none. */
  get begin(): number {
    return this.#firstIndex + this.#head;
  }

  /** The records that retention has left, oldest first. */
  kept(): readonly KeptRecord[] {
    return this.#kept.slice(this.#head);
  }

  /** @returns the record's sequence number. */
  append(partitionKey: string, data: string, size: number, now: number): string {
    const sequenceNumber = this.numbers.at(this.end, now);
    this.#kept.push({ sequenceNumber, partitionKey, data, size, arrivedAt: now });
    this.#bytes += size;
    this.changed();
    return sequenceNumber;
  }

  close(now: number): void {
    this.closedAt = now;
    this.endingSequenceNumber = this.numbers.ending(now);
    this.changed();
  }

  /** Calls `watcher` at each record, when the shard is closed, and when a reshard begins. @returns what ends it. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Tells who watches that there is something new. */
  changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** The record with an index; undefined when it was trimmed or has not been written. */
  at(index: number): KeptRecord | undefined {
    return index < this.begin ? undefined : this.#kept[index - this.#firstIndex];
  }

  /** Index of the first record that arrived at `time` or later; `end` when there is none. */
  indexAtTime(time: number): number {
    let low = this.begin;
    let high = this.end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.at(middle)?.arrivedAt ?? 0) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Removes records that arrived before `horizon`, and the oldest while more than `maxBytes` are kept. */
  trim(horizon: number, maxBytes: number): void {
    for (let oldest = this.#kept[this.#head]; oldest; oldest = this.#kept[this.#head]) {
      if (this.#bytes <= maxBytes && oldest.arrivedAt >= horizon) break;
      this.#bytes -= oldest.size;
      this.#trimmedBytes += oldest.size;
      this.#head++;
    }
    const many = this.#head >= COMPACT_RECORDS && this.#head * 2 >= this.#kept.length;
    if (many || this.#trimmedBytes > this.#bytes + COMPACT_BYTES) this.#compact();
  }

  #compact(): void {
    this.#kept = this.#kept.slice(this.#head);
    this.#firstIndex += this.#head;
    this.#head = 0;
    this.#trimmedBytes = 0;
  }
}

function shardId(index: number): string {
  return `shardId-${String(index).padStart(12, '0')}`;
}
