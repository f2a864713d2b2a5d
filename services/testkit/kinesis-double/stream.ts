import { adjoins, divide, evenRanges, type HashKey, type HashRange } from './hash-key.ts';
import type { ReshardStep } from './reshard.ts';
import { Shard } from './shard.ts';

export type StreamStatus = 'CREATING' | 'ACTIVE' | 'UPDATING' | 'DELETING';

export interface StreamSettings {
  name: string;
  /** Largest record, partition key and data, in bytes. */
  maxRecordBytes: number;
  retentionMs: number;
  /** Bytes that a shard keeps at most; the oldest records go first. */
  retainedBytesPerShard: number;
}

/** A change that is under way: what it does when it is done. */
interface Change {
  status: StreamStatus;
  doneAt: number;
  apply: (now: number) => void;
}

/** A stream: shards, lineage and routing. Knows no protocol and no limits; time is always passed in, ms since the epoch. */
export class Stream {
  readonly settings: StreamSettings;
  readonly createdAt: number;
  /** All shards that were ever made, by index. */
  readonly #shards: Shard[] = [];
  readonly #byId = new Map<string, Shard>();
  /** The open shards by hash range: always from 0 to 2^128 - 1, without gap or overlap. */
  #open: Shard[] = [];
  #change: Change | undefined;
  #deleted = false;

  constructor(settings: StreamSettings, shardCount: number, now: number, creatingMs: number) {
    this.settings = settings;
    this.createdAt = now;
    this.#open = evenRanges(shardCount).map((range) => this.#add(range, [], now));
    this.#begin('CREATING', now, creatingMs, () => {});
  }

  get status(): StreamStatus {
    return this.#change?.status ?? 'ACTIVE';
  }

  /** When the change that is under way will be done, in ms since the epoch; undefined when there is none. */
  get changeDueAt(): number | undefined {
    return this.#change?.doneAt;
  }

  /** True once a DeleteStream is done. */
  get deleted(): boolean {
    return this.#deleted;
  }

  /** The open shards by hash range. */
  get open(): readonly Shard[] {
    return this.#open;
  }

  /** All shards of which retention has left something, closed ones included, by id. */
  listed(now: number): Shard[] {
    const horizon = now - this.settings.retentionMs;
    return this.#shards.filter((shard) => shard.closedAt === undefined || shard.closedAt >= horizon);
  }

  /** A listed shard by its id. */
  shard(id: string, now: number): Shard | undefined {
    const shard = this.#byId.get(id);
    const horizon = now - this.settings.retentionMs;
    return shard?.closedAt !== undefined && shard.closedAt < horizon ? undefined : shard;
  }

  /** Records that were ever stored. */
  get stored(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.end - 1, 0);
  }

  /** The open shard that takes a hash key. */
  route(key: HashKey): Shard {
    let low = 0;
    let high = this.#open.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#open[middle] as Shard).range.start <= key) low = middle;
      else high = middle - 1;
    }
    return this.#open[low] as Shard;
  }

  /** Finishes a change whose time has come. To be called before anything else of an operation. */
  settle(now: number): void {
    const change = this.#change;
    if (!change || now < change.doneAt) return;
    this.#change = undefined;
    change.apply(change.doneAt);
  }

  /** Removes what retention no longer keeps. */
  trim(shards: Iterable<Shard>, now: number): void {
    const { retentionMs, retainedBytesPerShard } = this.settings;
    for (const shard of shards) shard.trim(now - retentionMs, retainedBytesPerShard);
  }

  /** Starts a reshard: the stream is UPDATING for `ms`, then the steps are carried out at once. */
  reshard(steps: readonly ReshardStep[], now: number, ms: number): void {
    this.#begin('UPDATING', now, ms, (doneAt) => {
      for (const step of steps) this.#step(step, doneAt);
    });
  }

  delete(now: number, ms: number): void {
    this.#begin('DELETING', now, ms, () => {
      this.#deleted = true;
    });
  }

  #begin(status: StreamStatus, now: number, ms: number, apply: (now: number) => void): void {
    this.#change = { status, doneAt: now + ms, apply };
    this.settle(now);
    for (const shard of this.#open) shard.changed();
  }

  #step(step: ReshardStep, now: number): void {
    if (step.kind === 'split') {
      const parent = this.#openAt(step.range);
      this.#replace([parent], divide(step.range, step.at), now);
    } else {
      const left = this.#openAt(step.left);
      const right = this.#openAt(step.right);
      if (!adjoins(left.range, right.range)) throw new RangeError(`${left.id} and ${right.id} do not adjoin`);
      this.#replace([left, right], [{ start: left.range.start, end: right.range.end }], now);
    }
  }

  #openAt(range: HashRange): Shard {
    const shard = this.route(range.start);
    if (shard.range.start !== range.start || shard.range.end !== range.end) {
      throw new RangeError(`no open shard has the range ${range.start}-${range.end}`);
    }
    return shard;
  }

  #replace(parents: readonly Shard[], ranges: readonly HashRange[], now: number): void {
    const at = this.#open.indexOf(parents[0] as Shard);
    for (const parent of parents) parent.close(now);
    const children = ranges.map((range) => this.#add(range, parents, now));
    for (const parent of parents) parent.children.push(...children);
    this.#open = this.#open.toSpliced(at, parents.length, ...children);
  }

  #add(range: HashRange, parents: readonly Shard[], now: number): Shard {
    const shard = new Shard(this.#shards.length, range, parents, now);
    this.#shards.push(shard);
    this.#byId.set(shard.id, shard);
    return shard;
  }
}
