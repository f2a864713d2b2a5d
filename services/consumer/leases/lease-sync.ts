import type { Clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import { type Lease, streamMark } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo, ShardListing } from '../../shared/list-shards.ts';
import type { Logger } from '../../shared/log.ts';
import { findHoles } from '../lineage/coverage.ts';
import {
  findUnlisted,
  isFinished,
  planLeases,
  removable,
  type StartingPosition,
} from '../lineage/lineage.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { GroupReading, LeaseStore } from './lease-store.ts';

/**
 * How long a row that has done its work is kept. A worker that read the table before the row was made may have its
 * creation still under way; if it came after the removal, the shard would be read again from its beginning. AWS takes a
 * signed request for five minutes (Signature Version 4, "Elements of an AWS API request signature").
 */
const DONE_KEPT_MS = 5 * 60_000;
/** How long others wait for whoever read a shard to its end to add its children's leases: two calls, and a write for each. */
const HEIRS_WAIT_MS = 500;

export interface LeaseSyncDeps {
  store: LeaseStore;
  listShards: () => Promise<ShardListing>;
  /** As the configuration names it. */
  stream: string;
  startingPosition: StartingPosition;
  leaseDurationMs: number;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** Brings the leases in line with the stream's shards: adds what is missing, removes what is done, says what is wrong. */
export class LeaseSync {
  readonly #deps: LeaseSyncDeps;
  readonly #mark: string;
  /** What was found wrong the last time. Only what is found twice in a row counts: a listing may be of between two steps. */
  #trimmed: ReadonlySet<string> = new Set();
  #unknown: ReadonlySet<string> = new Set();
  #holes = '';
  #damaged = '';
  /** The shards that were seen to be read to their end: since when children are missing, or that this was dealt with. */
  #ended: ReadonlyMap<string, number | 'settled'> = new Map();
  /** When a lease was first seen to be done with, by its key; monotonic, in ms. */
  #doneSince: ReadonlyMap<string, number> = new Map();

  constructor(deps: LeaseSyncDeps) {
    this.#deps = deps;
    this.#mark = streamMark(deps.stream);
  }

  /**
   * @param listing one that is older than the reading: the listing may take its time, the reading must not.
   * @param reading of the lease table.
   * @param readAt when their reading began, monotonic in ms.
   * @throws WeirError `reading-old` when that is so long ago that what seems to be missing may have come and gone.
   * @returns the leases that were added, and the keys of unfinished ones whose shards retention has removed.
   */
  async sync(
    { shards, at }: ShardListing,
    { leases, damaged }: Pick<GroupReading, 'leases' | 'damaged'>,
    readAt: number,
  ): Promise<{ created: Lease[]; trimmed: ReadonlySet<string> }> {
    const { store, clock, startingPosition, leaseDurationMs, log } = this.#deps;
    const ageMs = clock.monotonic() - readAt;
    if (ageMs > leaseDurationMs) {
      throw new WeirError('reading-old', `the lease table was read ${Math.round(ageMs)} ms ago`, {
        retryable: true,
      });
    }
    // By the stream's clock: Kinesis reads from no time that is still to come, and one ahead of its own would skip records.
    const planned = planLeases(shards, leases, startingPosition, at ?? clock.now());
    const missing = planned.map((lease) => ({ ...lease, stream: this.#mark }));
    const wins = await Promise.all(missing.map((lease) => store.create(lease)));
    const created = missing.filter((_, i) => wins[i]);
    if (created.length > 0) log.info({ shards: created.map((lease) => lease.leaseKey) }, 'leases created');
    await this.#removeDone(shards, leases);
    this.#reportDamaged(damaged);
    // With those that another worker was quicker to create: they are there.
    const there = missing.filter(({ leaseKey }) => !damaged.includes(leaseKey));
    this.#reportHoles(shards, [...leases, ...there]);
    return { created, trimmed: this.#findTrimmed(shards, leases) };
  }

  /**
   * @param leases all there are.
   * @returns true, once a shard, when one was read to its end a while ago and not all of its children are leased: whoever
   *   read it may have died, or lost the lease, before it added those.
   */
  endedWithoutHeirs(leases: readonly Lease[]): boolean {
    const now = this.#deps.clock.monotonic();
    const leased = new Set(leases.map(({ leaseKey }) => leaseKey));
    const parents = new Set(leases.flatMap(({ parentShardIds }) => parentShardIds));
    const ended = new Map<string, number | 'settled'>();
    let found = false;
    for (const { leaseKey, childShardIds } of leases.filter(isFinished)) {
      const since = this.#ended.get(leaseKey) ?? now;
      const hasHeirs =
        childShardIds.length > 0 ? childShardIds.every((id) => leased.has(id)) : parents.has(leaseKey);
      const isDue = since !== 'settled' && !hasHeirs && now - since >= HEIRS_WAIT_MS;
      found ||= isDue;
      ended.set(leaseKey, isDue || hasHeirs ? 'settled' : since);
    }
    this.#ended = ended;
    return found;
  }

  /** The children of a shard, by a fresh listing. */
  async childrenOf(shardId: string): Promise<string[]> {
    const { shards } = await this.#deps.listShards();
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

  #reportDamaged(damaged: readonly string[]): void {
    const found = damaged.join(', ');
    if (damaged.length > 0 && found !== this.#damaged) {
      this.#deps.log.error(
        { rows: damaged },
        'these rows of the lease table stand in the place of leases and have no checkpoint or counter that can be used: nobody reads their shards; delete them, and the shards are read from the starting position on',
      );
    }
    this.#damaged = found;
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

  /** @returns those that retention has removed; says which ones may be of another stream. */
  #findTrimmed(shards: readonly ShardInfo[], leases: readonly Lease[]): ReadonlySet<string> {
    const { log, metrics, stream } = this.#deps;
    const { trimmed, unknown } = findUnlisted(shards, leases, this.#mark);
    const twice = (found: readonly Lease[], before: ReadonlySet<string>) =>
      found.map(({ leaseKey }) => leaseKey).filter((key) => before.has(key));
    const lost = twice(unknown, this.#unknown);
    metrics.unlistedLeases.set(lost.length);
    if (lost.length > 0) {
      log.error(
        { shards: lost, stream },
        'the stream has no such shards as these unfinished leases say: if STREAM_NAME or LEASE_TABLE is the wrong one, mend it; if retention removed them before they were read, what was left in them is lost: delete their rows',
      );
    }
    const gone = twice(trimmed, this.#trimmed);
    this.#trimmed = new Set(trimmed.map(({ leaseKey }) => leaseKey));
    this.#unknown = new Set(unknown.map(({ leaseKey }) => leaseKey));
    return new Set(gone);
  }
}
