import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import type { Logger } from '../../shared/log.ts';
import { ShardMap } from './shard-map.ts';

/** ListShards takes 1,000 calls a second and stream, over all its users; a reshard takes at least seconds. */
const BACKOFF = { baseMs: 500, maxMs: 30_000 };
/** Between two reads: while a reshard settles, ListShards and PutRecords may disagree for a moment. */
const MIN_INTERVAL_MS = 250;

export interface ShardRouterDeps {
  listShards: () => Promise<ShardInfo[]>;
  clock: Clock;
  random: Random;
  log: Logger;
}

/**
 * Keeps the shard map: read at start, and again each time an answer named another shard than predicted. While
 * there is none, nothing is predicted and records go plain, which is right under any sharding.
 */
export class ShardRouter {
  readonly #deps: ShardRouterDeps;
  readonly #stopped = new AbortController();
  #map: ShardMap | undefined;
  #refresh: Promise<void> | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(deps: ShardRouterDeps) {
    this.#deps = deps;
  }

  /** The map as last read; undefined while it is unknown or known to be wrong. */
  get map(): ShardMap | undefined {
    return this.#map;
  }

  /** Reads the map, again and again until that succeeds; resolves then, or at a stop. One read at a time. */
  refresh(): Promise<void> {
    this.#refresh ??= this.#read().finally(() => {
      this.#refresh = undefined;
    });
    return this.#refresh;
  }

  /**
   * A record with the hash of `partitionKey` went to `actual` where the map predicted another shard: the map is of no use
   * until it is read again. Not when it predicts `actual` by now: then a newer one has come since. That it knows `actual`
   * is not enough: the shards of a stream that was deleted and made again have the names of the old ones.
   */
  mispredicted(partitionKey: string, actual: string): void {
    if (this.#map?.shardOf(partitionKey) === actual) return;
    this.#map = undefined;
    void this.refresh();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #read(): Promise<void> {
    const { listShards, clock, random, log } = this.#deps;
    const { signal } = this.#stopped;
    await clock.sleep(this.#readAt + MIN_INTERVAL_MS - clock.monotonic(), signal);
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        this.#map = new ShardMap(await listShards());
        this.#readAt = clock.monotonic();
        return;
      } catch (error) {
        // Nothing is lost meanwhile: records go plain.
        if (attempt === 0) log.warn({ err: error }, 'the shards could not be listed; asking again');
        await clock.sleep(fullJitter(attempt, BACKOFF, random), signal);
      }
    }
  }
}
