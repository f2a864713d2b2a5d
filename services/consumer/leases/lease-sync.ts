import type { Clock } from '../../shared/clock.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import type { Logger } from '../../shared/log.ts';
import { findHoles } from '../lineage/coverage.ts';
import { isFinished, planLeases, removable, type StartingPosition } from '../lineage/lineage.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { LeaseStore } from './lease-store.ts';

export interface LeaseSyncDeps {
  store: LeaseStore;
  listShards: () => Promise<ShardInfo[]>;
  startingPosition: StartingPosition;
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

  constructor(deps: LeaseSyncDeps) {
    this.#deps = deps;
  }

  /**
   * @param leases all there are.
   * @returns the leases that were added, and the keys of unfinished ones whose shards retention has removed.
   */
  async sync(leases: readonly Lease[]): Promise<{ created: Lease[]; trimmed: ReadonlySet<string> }> {
    const { store, clock, listShards, startingPosition, log } = this.#deps;
    const shards = await listShards();
    const missing = planLeases(shards, leases, startingPosition, clock.now());
    const wins = await Promise.all(missing.map((lease) => store.create(lease)));
    const created = missing.filter((_, i) => wins[i]);
    if (created.length > 0) log.info({ shards: created.map((lease) => lease.leaseKey) }, 'leases created');
    await this.#removeDone(shards, leases);
    // With those that another worker was quicker to create: they are there.
    this.#reportHoles(shards, [...leases, ...missing]);
    return { created, trimmed: this.#findTrimmed(shards, leases) };
  }

  /** The children of a shard, by a fresh listing. */
  async childrenOf(shardId: string): Promise<string[]> {
    const shards = await this.#deps.listShards();
    return shards.filter((one) => one.parentShardIds.includes(shardId)).map((one) => one.shardId);
  }

  async #removeDone(shards: readonly ShardInfo[], leases: readonly Lease[]): Promise<void> {
    const { store, log } = this.#deps;
    const done = removable(shards, leases);
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
