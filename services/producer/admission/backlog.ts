import type { SinkFailure } from '../sink/sink.ts';
import { DrainRate } from './drain-rate.ts';

/** What waits for one shard, and how fast the shard takes it. */
export interface ShardBacklog {
  /** Bytes accepted and not yet answered. */
  bytes: number;
  records: number;
  readonly stored: DrainRate;
  /** How its last records failed; undefined when the last call had all of them stored. */
  failing: SinkFailure | undefined;
  /** What waits was not too old when it was looked at, and is not looked at again before this time. Monotonic, in ms. */
  youngUntil: number;
  /** Calls in a row in which nothing of this shard was stored. */
  failedCalls: number;
}

/** The events that are accepted and not yet answered: sums for the whole buffer and for each shard. */
export class Backlog {
  /** Bytes that the stream took, in all. */
  readonly stored: DrainRate;
  records = 0;
  bytes = 0;
  readonly #now: () => number;
  readonly #shards = new Map<string | undefined, ShardBacklog>();

  /** @param now monotonic, in ms. */
  constructor(now: () => number) {
    this.#now = now;
    this.stored = new DrainRate(now());
  }

  /** Of a shard; undefined stands for events whose shard is not known. */
  shard(id: string | undefined): ShardBacklog {
    let shard = this.#shards.get(id);
    if (!shard) {
      shard = {
        bytes: 0,
        records: 0,
        stored: new DrainRate(this.#now()),
        failing: undefined,
        failedCalls: 0,
        youngUntil: Number.NEGATIVE_INFINITY,
      };
      this.#shards.set(id, shard);
    }
    return shard;
  }

  /** Shards that throttle what waits for them. */
  get throttledShards(): number {
    let n = 0;
    for (const { failing, records } of this.#shards.values()) {
      if (failing === 'throttled' && records > 0) n++;
    }
    return n;
  }

  accepted(shard: ShardBacklog, bytes: number): void {
    this.records++;
    this.bytes += bytes;
    shard.records++;
    shard.bytes += bytes;
  }

  /** The caller of one event gets its answer. */
  answered(shard: ShardBacklog, bytes: number): void {
    this.records--;
    this.bytes -= bytes;
    shard.records--;
    shard.bytes -= bytes;
  }

  /** A call had these bytes of the shard stored. */
  drained(shard: ShardBacklog, bytes: number): void {
    const now = this.#now();
    shard.stored.add(bytes, now);
    this.stored.add(bytes, now);
  }

  /** Forgets shards that nothing waits for: after a reshard the old ones are gone for good. */
  prune(isCurrent: (shardId: string) => boolean): void {
    for (const [id, shard] of this.#shards) {
      if (id !== undefined && shard.records === 0 && !isCurrent(id)) this.#shards.delete(id);
    }
  }
}
