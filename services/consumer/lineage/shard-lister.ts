import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { ShardListing } from '../../shared/list-shards.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import type { ConsumerMetrics } from '../metrics.ts';

/** How often the stream's shards are listed when nothing ended in the meantime. */
const INTERVAL_MS = 30_000;
/** How long work on leases waits for a listing: long enough for nearly all, and little of a handoff's time. */
const PATIENCE_MS = 250;
const BACKOFF = { baseMs: 1_000, maxMs: 30_000 };

export interface ShardListerDeps {
  listShards: () => Promise<ShardListing>;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
  /** Told when a listing came that nobody waits for any more. */
  onLate: () => void;
}

/**
 * Lists the stream's shards beside the work on leases: who is to read a shard is in the lease table, so a listing that fails
 * or hangs must keep nobody from taking a lease over.
 */
export class ShardLister {
  readonly #deps: ShardListerDeps;
  #wanted = true;
  #underWay: Promise<void> | undefined;
  #listing: ShardListing | undefined;
  #nextAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #hasListed = false;

  constructor(deps: ShardListerDeps) {
    this.#deps = deps;
  }

  /** True once a listing came. */
  get hasListed(): boolean {
    return this.#hasListed;
  }

  /** Leases may be missing: what is listed from now on tells. */
  want(): void {
    this.#wanted = true;
  }

  /**
   * A listing that is due, if it comes soon, or one that came late. Each is given once, and is older than any reading of the
   * lease table that begins now.
   *
   * @param signal ends the waiting.
   */
  async due(signal: AbortSignal): Promise<ShardListing | undefined> {
    const { clock, onLate } = this.#deps;
    const atOnce = this.#wanted && this.#failures === 0;
    if (!this.#underWay && (atOnce || clock.monotonic() >= this.#nextAt)) this.#underWay = this.#list();
    if (this.#underWay !== undefined) {
      const over = new AbortController();
      const patience = AbortSignal.any([signal, over.signal]);
      await Promise.race([this.#underWay, clock.sleep(PATIENCE_MS, patience)]);
      over.abort();
      void this.#underWay?.then(onLate);
    }
    const listing = this.#listing;
    this.#listing = undefined;
    return listing;
  }

  async #list(): Promise<void> {
    const { listShards, clock, random, log, metrics } = this.#deps;
    // From before it begins: a shard that ends from here on may not be among the listed.
    this.#wanted = false;
    this.#nextAt = clock.monotonic() + INTERVAL_MS;
    try {
      this.#listing = await listShards();
      this.#failures = 0;
      this.#hasListed = true;
    } catch (error) {
      this.#wanted = true;
      this.#nextAt = clock.monotonic() + fullJitter(this.#failures++, BACKOFF, random);
      if (error instanceof StoppedError) return;
      metrics.listingFailures.inc();
      log.warn(
        { err: error, failures: this.#failures },
        'the shards could not be listed; leases are shared by the table alone, and new shards wait',
      );
    } finally {
      this.#underWay = undefined;
    }
  }
}
