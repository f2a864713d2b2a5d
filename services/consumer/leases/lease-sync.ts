import type { Clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import type { Logger } from '../../shared/log.ts';
import { findHoles } from '../lineage/coverage.ts';
import { isFinished, planLeases, removable, type StartingPosition } from '../lineage/lineage.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { LeaseStore } from './lease-store.ts';

/**
 * How long a row that has done its work is kept. A worker that read the table before the row was made may have its
 * creation still under way; if it came after the removal, the shard would be read again from its beginning. AWS takes a
 * signed request for five minutes (Signature Version 4, "Elements of an AWS API request signature").
 */
const DONE_KEPT_MS = 5 * 60_000;

export interface LeaseSyncDeps {
  store: LeaseStore;
  listShards: () => Promise<ShardInfo[]>;
  startingPosition: StartingPosition;
  leaseDurationMs: number;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** Brings the leases in line with the stream's shards: adds what is missing, removes what is done, says what is wrong. */
export class LeaseSync {
  readonly #deps: LeaseSyncDeps;
  /** What was found wrong the last time. Only what is found twice in a row counts: a listing may be of between two steps. */
  #unlisted: ReadonlySet<string> = new Set();
  #holes = '';
  /** The shards that were seen to be read to their end. */
  #ended: ReadonlySet<string> = new Set();
  /** When a lease was first seen to be done with, by its key; monotonic, in ms. */
  #doneSince: ReadonlyMap<string, number> = new Map();

  constructor(deps: LeaseSyncDeps) {
    this.#deps = deps;
  }

  /**
   * @param shards of a listing that is older than the reading: the listing may take its time, the reading must not.
   * @param leases all there are.
   * @param readAt when their reading began, monotonic in ms.
   * @throws WeirError `reading-old` when that is so long ago that what seems to be missing may have come and gone.
   * @returns the leases that were added, and the keys of unfinished ones whose shards retention has removed.
   */
  async sync(
    shards: readonly ShardInfo[],
    leases: readonly Lease[],
    readAt: number,
  ): Promise<{ created: Lease[]; trimmed: ReadonlySet<string> }> {
    const { store, clock, startingPosition, leaseDurationMs, log } = this.#deps;
    const ageMs = clock.monotonic() - readAt;
    if (ageMs > leaseDurationMs) {
      throw new WeirError('reading-old', `the lease table was read ${Math.round(ageMs)} ms ago`, {
        retryable: true,
      });
    }
    const missing = planLeases(shards, leases, startingPosition, clock.now());
    const wins = await Promise.all(missing.map((lease) => store.create(lease)));
    const created = missing.filter((_, i) => wins[i]);
    if (created.length > 0) log.info({ shards: created.map((lease) => lease.leaseKey) }, 'leases created');
    await this.#removeDone(shards, leases);
    // With those that another worker was quicker to create: they are there.
    this.#reportHoles(shards, [...leases, ...missing]);
    return { created, trimmed: this.#findTrimmed(shards, leases) };
  }

  /**
   * @param leases all there are.
   * @returns true when one of them was not seen before as read to its end, and not all of its children are leased: whoever
   *   read it may have died, or lost the lease, before it added those.
   */
  endedWithoutHeirs(leases: readonly Lease[]): boolean {
    const before = this.#ended;
    const ended = leases.filter(isFinished);
    this.#ended = new Set(ended.map(({ leaseKey }) => leaseKey));
    const leased = new Set(leases.map(({ leaseKey }) => leaseKey));
    return ended.some(
      ({ leaseKey, childShardIds }) =>
        !before.has(leaseKey) && (childShardIds.length === 0 || childShardIds.some((id) => !leased.has(id))),
    );
  }

  /** The children of a shard, by a fresh listing. */
  async childrenOf(shardId: string): Promise<string[]> {
    const shards = await this.#deps.listShards();
    return shards.filter((one) => one.parentShardIds.includes(shardId)).map((one) => one.shardId);
  }

  async #removeDone(shards: readonly ShardInfo[], leases: readonly Lease[]): Promise<void> {
    const { store, clock, log } = this.#deps;
    const now = clock.monotonic();
    const since = this.#doneSince;
    const candidates = removable(shards, leases);
    this.#doneSince = new Map(candidates.map(({ leaseKey }) => [leaseKey, since.get(leaseKey) ?? now]));
    const done = candidates.filter(({ leaseKey }) => now - (since.get(leaseKey) ?? now) >= DONE_KEPT_MS);
    await Promise.all(done.map((lease) => store.remove(lease)));
    if (done.length > 0) {
      log.info(
        { shards: done.map((lease) => lease.leaseKey) },
        'leases of shards that are done with removed',
      );
    }
  }

  #reportHoles(shards: readonly ShardInfo[], leases: readonly Lease[]): void {
    const { log, metrics } = this.#deps;
    const holes = findHoles(shards, leases).map(({ starting, ending }) => `${starting}-${ending}`);
    const found = holes.join(', ');
    const stays = found === this.#holes;
    this.#holes = found;
    if (!stays) return;
    metrics.hashRangeHoles.set(holes.length);
    if (holes.length > 0) {
      log.error(
        { holes },
        'nobody reads these hash key ranges: compare the lease table with ListShards; a lease at SHARD_END whose shard is open must be deleted',
      );
    }
  }

  /** A shard that a listed one names as its parent was of this stream: it isn't missing because the stream is another. */
  #findTrimmed(shards: readonly ShardInfo[], leases: readonly Lease[]): ReadonlySet<string> {
    const listed = new Set(shards.map(({ shardId }) => shardId));
    const parents = new Set(shards.flatMap(({ parentShardIds }) => parentShardIds));
    const unlisted = leases.filter(
      (lease) => !isFinished(lease) && !listed.has(lease.leaseKey) && parents.has(lease.leaseKey),
    );
    const before = this.#unlisted;
    this.#unlisted = new Set(unlisted.map(({ leaseKey }) => leaseKey));
    return new Set([...this.#unlisted].filter((key) => before.has(key)));
  }
}
