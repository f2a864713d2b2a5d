import { HASH_KEYS, type HashKeyRange } from '../observation.ts';
import type { ReshardStep } from '../reshard.ts';
import { Queue, type Segment } from './queue.ts';

export interface SimShard {
  id: string;
  /** Its range as shares of the hash key space, the end excluded. */
  from: number;
  to: number;
  open: boolean;
  /** Those that aren't read to their end. */
  parents: readonly SimShard[];
  /** Sent, but not taken yet: producers try it again. */
  waiting: Queue;
  /** In the shard, not processed yet. */
  queue: Queue;
}

export interface StreamOptions {
  /** Records a second that a shard takes: the record limit, or the byte limit over a record's size. */
  shardRate: number;
  /** How long an UpdateShardCount takes, and a single split or merge, in seconds. */
  updateSeconds: number;
  splitSeconds: number;
  /** Where in the hash key space the hot key lies, 0-1. */
  hotKeyAt: number;
}

/** A stream with write limits, hash ranges and lineage; resharding takes time and keeps to AWS's rules. */
export class SimStream {
  readonly #options: StreamOptions;
  #shards: SimShard[] = [];
  #made = 0;
  #change: { doneAt: number; boundaries: number[] } | undefined;
  #calls: number[] = [];
  /** Changes that were carried out, and calls that AWS would have refused. */
  reshards = 0;
  refused = 0;

  constructor(options: StreamOptions, shards: number) {
    this.#options = options;
    for (let i = 0; i < shards; i++) this.#shards.push(this.#make(i / shards, (i + 1) / shards, []));
  }

  get status(): 'ACTIVE' | 'UPDATING' {
    return this.#change ? 'UPDATING' : 'ACTIVE';
  }

  /** Open shards, and closed ones that aren't read to their end. */
  get shards(): readonly SimShard[] {
    return this.#shards;
  }

  get open(): SimShard[] {
    return this.#shards.filter((shard) => shard.open);
  }

  /** A second of producing: `even` and `hot` records are sent at `t`, and what waits is tried again first. */
  produce(t: number, even: number, hot: number): void {
    for (const shard of this.#shards) {
      if (!shard.open) continue;
      const hasHot = this.#holdsHotKey(shard);
      shard.waiting.push({
        sentAt: t,
        acceptedAt: t,
        even: even * (shard.to - shard.from),
        hot: hasHot ? hot : 0,
      });
      for (const segment of shard.waiting.take(this.#options.shardRate))
        shard.queue.push({ ...segment, acceptedAt: t });
    }
  }

  /** Finishes a change whose time has come, and forgets shards that are done with. */
  settle(t: number): void {
    if (this.#change && t >= this.#change.doneAt) {
      const { boundaries } = this.#change;
      this.#change = undefined;
      this.#apply(boundaries);
    }
    // Parents come before their children, so one pass is enough.
    for (const shard of this.#shards)
      if (shard.parents.length > 0) shard.parents = shard.parents.filter((parent) => !isRead(parent));
    if (this.#shards.some(isRead)) this.#shards = this.#shards.filter((shard) => !isRead(shard));
  }

  /** Starts a change as the API would; a refused call changes nothing. */
  reshard(step: ReshardStep, t: number): void {
    const open = this.open;
    const boundaries = this.#boundariesAfter(step, open);
    if (!boundaries || this.#change) {
      this.refused++;
      return;
    }
    if (step.kind === 'update-shard-count') {
      this.#calls = this.#calls.filter((call) => call > t - 86_400);
      const allowed =
        step.target <= open.length * 2 && step.target >= open.length / 2 && this.#calls.length < 10;
      if (!allowed) {
        this.refused++;
        return;
      }
      this.#calls.push(t);
    }
    this.reshards++;
    const { updateSeconds, splitSeconds } = this.#options;
    this.#change = {
      doneAt: t + (step.kind === 'update-shard-count' ? updateSeconds : splitSeconds),
      boundaries,
    };
  }

  #boundariesAfter(step: ReshardStep, open: readonly SimShard[]): number[] | undefined {
    const now = open.map((shard) => shard.from);
    switch (step.kind) {
      case 'update-shard-count':
        return Array.from({ length: step.target }, (_, i) => i / step.target);
      case 'split-shard': {
        const at = Number((BigInt(step.newStartingHashKey) * 1_000_000_000n) / HASH_KEYS) / 1e9;
        return [...now, at];
      }
      case 'merge-shards': {
        const [left, right] = [step.shardId, step.adjacentShardId].map((id) =>
          open.find((shard) => shard.id === id),
        );
        return left && right ? now.filter((from) => from !== Math.max(left.from, right.from)) : undefined;
      }
    }
  }

  #apply(boundaries: readonly number[]): void {
    const starts = [...new Set(boundaries)].sort((a, b) => a - b);
    const old = this.open;
    const kept: SimShard[] = [];
    const made: SimShard[] = [];
    for (const [i, from] of starts.entries()) {
      const to = starts[i + 1] ?? 1;
      const same = old.find((shard) => near(shard.from, from) && near(shard.to, to));
      if (same) kept.push(same);
      else
        made.push(
          this.#make(
            from,
            to,
            old.filter((shard) => shard.from < to - 1e-9 && shard.to > from + 1e-9),
          ),
        );
    }
    for (const shard of old) {
      if (kept.includes(shard)) continue;
      shard.open = false;
      for (const segment of shard.waiting.drain()) this.#send(segment, shard, made);
    }
    this.#shards = [...this.#shards, ...made];
  }

  /** What waited for a shard that closed waits for those that take its place. */
  #send(segment: Segment, from: SimShard, to: readonly SimShard[]): void {
    const width = from.to - from.from;
    for (const shard of to) {
      const overlap = Math.min(shard.to, from.to) - Math.max(shard.from, from.from);
      if (overlap <= 1e-9) continue;
      const hot = this.#holdsHotKey(shard) ? segment.hot : 0;
      shard.waiting.push({ ...segment, even: (segment.even * overlap) / width, hot });
    }
  }

  #holdsHotKey({ from, to }: SimShard): boolean {
    return from <= this.#options.hotKeyAt && this.#options.hotKeyAt < to;
  }

  #make(from: number, to: number, parents: readonly SimShard[]): SimShard {
    const id = `shardId-${String(this.#made++).padStart(12, '0')}`;
    return { id, from, to, open: true, parents, waiting: new Queue(), queue: new Queue() };
  }
}

/** The hash keys of a shard. */
export function hashKeys({ from, to }: SimShard): HashKeyRange {
  const key = (share: number) => (HASH_KEYS * BigInt(Math.round(share * 1e9))) / 1_000_000_000n;
  return { starting: key(from).toString(), ending: (key(to) - 1n).toString() };
}

/** Closed, and nothing is left in it or before it. */
function isRead({ open, queue, parents }: SimShard): boolean {
  return !open && queue.records <= 0 && parents.length === 0;
}

function near(a: number, b: number): boolean {
  return Math.abs(a - b) < 1e-9;
}
