import { descendsFrom, LeasedAncestors } from '../../shared/kcl/ancestors.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { Checkpoint, Sentinel } from '../../shared/kcl/position.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';

/** Where an application that has no leases yet begins. */
export type StartingPosition =
  | { type: 'TRIM_HORIZON' }
  | { type: 'LATEST' }
  | { type: 'AT_TIMESTAMP' /** ms since the epoch */; timestamp: number };

/**
 * Which leases are missing: the leases to create so that every open shard's records are going to be read, each
 * after its parents'.
 *
 * Walks from each open shard up its parents until it meets a shard that has a lease. Below a leased shard the
 * descendants start at their first record; a lineage nobody has leased yet starts where `start` says: at the
 * oldest shard that is still listed, or, for `LATEST`, at the open shard itself. A lease is created only when
 * all parents are finished, so a child never starts before them. Tolerates shards whose parents were trimmed by
 * retention, and listings that hold more than one generation of the same hash range. Where parents were trimmed that never
 * had a lease, an older lease of the same hash keys tells that the application was there before.
 *
 * @param shards all that ListShards returned.
 * @param now ms since the epoch.
 */
export function planLeases(
  shards: readonly ShardInfo[],
  leases: readonly Lease[],
  start: StartingPosition,
  now: number,
): Lease[] {
  const listed = new Map(shards.map((shard) => [shard.shardId, shard]));
  const leased = byKey(leases);
  const ancestors = new LeasedAncestors(leased, listed);
  const created = new Map<string, Lease>();
  const walked = new Set<string>();

  const walk = (shard: ShardInfo): void => {
    if (walked.has(shard.shardId) || leased.has(shard.shardId)) return;
    walked.add(shard.shardId);
    // Of one that is neither listed nor leased nothing can be read any more.
    const parents = shard.parentShardIds.filter((id) => listed.has(id) || leased.has(id));
    for (const id of parents) {
      const parent = listed.get(id);
      if (parent) walk(parent);
    }
    const fromTracked = ancestors.of(shard);
    if (fromTracked && start.type === 'LATEST') {
      // Both parents of a merge were open at once, so one without a lease lost its row: it is read from its beginning.
      for (const id of parents) {
        const parent = listed.get(id);
        if (parent && !leased.has(id) && !created.has(id) && !ancestors.of(parent)) create(parent, true);
      }
    }
    if (fromTracked || start.type !== 'LATEST') {
      if (parents.every((id) => isFinished(leased.get(id)))) create(shard, fromTracked);
    } else if (shard.open) create(shard, false);
  };
  const create = (shard: ShardInfo, fromTracked: boolean): void => {
    created.set(shard.shardId, newLease(shard, firstCheckpoint(start, fromTracked), now));
  };

  for (const shard of shards) if (shard.open) walk(shard);
  return [...created.values()];
}

/** A child of a leased shard begins at its first record, unless the application asked for a time. */
function firstCheckpoint(start: StartingPosition, fromTracked: boolean): Sentinel {
  return fromTracked && start.type === 'LATEST' ? 'TRIM_HORIZON' : start.type;
}

function newLease(shard: ShardInfo, checkpoint: Sentinel, now: number): Lease {
  return {
    leaseKey: shard.shardId,
    leaseOwner: undefined,
    leaseCounter: 0,
    checkpoint: { sequenceNumber: checkpoint, subSequenceNumber: 0 },
    ownerSwitchesSinceCheckpoint: 0,
    parentShardIds: shard.parentShardIds,
    childShardIds: [],
    hashKeyRange: shard.hashKeyRange,
    startedAt: checkpoint === 'LATEST' ? now : undefined,
    workerAddress: undefined,
    tenure: undefined,
    report: undefined,
  };
}

function byKey(leases: readonly Lease[]): Map<string, Lease> {
  return new Map(leases.map((lease) => [lease.leaseKey, lease]));
}

/** True when all of a shard was processed. */
export function isFinished(lease: Lease | undefined): boolean {
  return lease?.checkpoint.sequenceNumber === 'SHARD_END';
}

/** The leases whose shard may be processed now: not finished, and every parent that has a lease is. */
export function startable(leases: readonly Lease[]): Lease[] {
  const leased = byKey(leases);
  return leases.filter(
    (lease) =>
      !isFinished(lease) &&
      lease.parentShardIds.every((id) => {
        const parent = leased.get(id);
        return parent === undefined || isFinished(parent);
      }),
  );
}

/**
 * The finished leases whose rows have done their work, as KCL's lease cleanup judges it: each shard that took over has
 * a lease and is past its beginning, so nobody needs this row to know where it begins. Oldest first: a row stays while
 * one of its ancestors' does, since that one waits for it to be seen.
 *
 * @param shards all that ListShards returned; tells children that the row doesn't.
 */
export function removable(shards: readonly ShardInfo[], leases: readonly Lease[]): Lease[] {
  const leased = byKey(leases);
  const listed = new Map(shards.map((shard) => [shard.shardId, shard]));
  const ancestors = new LeasedAncestors(leased, listed);
  const children = childrenOf(shards);
  const passed = new Map<string, boolean>();
  /** True when a shard is past its beginning, or, where it has no row, those that took over from it are. */
  const isPassed = (id: string): boolean => {
    const known = passed.get(id);
    if (known !== undefined) return known;
    passed.set(id, false); // a listing with a cycle in it must not hang us
    const lease = leased.get(id);
    const heirs = children.get(id) ?? [];
    const value = lease ? hasBegun(lease) : heirs.length > 0 && heirs.every(isPassed);
    passed.set(id, value);
    return value;
  };
  return leases.filter((lease) => {
    const { leaseKey, childShardIds } = lease;
    if (!isFinished(lease) || ancestors.ofLease(lease)) return false;
    // Retention takes parents first: while the shard is listed, a child that isn't is one that is still to come.
    const isGone = (id: string) => !listed.has(leaseKey) && !listed.has(id) && !leased.has(id);
    const heirs = [...childShardIds, ...(children.get(leaseKey) ?? [])];
    // Without heirs: an end that nobody can tell the reason of. It goes when retention has removed the shard.
    if (heirs.length === 0) return !listed.has(leaseKey);
    return heirs.every((id) => isPassed(id) || (isGone(id) && !children.has(id)));
  });
}

/** The shards that a listing names as children of others, by those others' ids. */
function childrenOf(shards: readonly ShardInfo[]): Map<string, string[]> {
  const children = new Map<string, string[]>();
  for (const { shardId, parentShardIds } of shards) {
    for (const parent of parentShardIds) children.set(parent, [...(children.get(parent) ?? []), shardId]);
  }
  return children;
}

/** The unfinished leases whose shards the stream doesn't list, by what becomes of them. */
export interface Unlisted {
  /** Retention has removed the shard: what is left of it can't be read any more, and its children may go on. */
  trimmed: Lease[];
  /** The shard may never have been of this stream: the wrong stream, or the wrong table, and the lease is still good. */
  unknown: Lease[];
}

/**
 * A shard that is gone has descendants in the listing. But hash ranges and numbers are much alike in all streams, so that
 * descendants are told by them only for a lease that was made for this very stream.
 *
 * @param shards all that ListShards returned.
 * @param mark of the stream.
 */
export function findUnlisted(shards: readonly ShardInfo[], leases: readonly Lease[], mark: string): Unlisted {
  const listed = new Set(shards.map(({ shardId }) => shardId));
  const parents = new Set(shards.flatMap(({ parentShardIds }) => parentShardIds));
  const found: Unlisted = { trimmed: [], unknown: [] };
  for (const lease of leases) {
    if (isFinished(lease) || listed.has(lease.leaseKey)) continue;
    const gone =
      lease.stream === undefined
        ? parents.has(lease.leaseKey)
        : lease.stream === mark && shards.some((shard) => descendsFrom(shard, lease));
    (gone ? found.trimmed : found.unknown).push(lease);
  }
  return found;
}

/** True when records of the shard were done with. */
function hasBegun(lease: Lease): boolean {
  return isFinished(lease) || /^\d+$/.test(lease.checkpoint.sequenceNumber);
}

/** Where reading goes on. There is no `LATEST`: asked for again after a failure, it would skip records. */
export type ReadFrom =
  | { type: 'TRIM_HORIZON' }
  | { type: 'AT_TIMESTAMP'; timestamp: number }
  /** The checkpoint's own record is read again, for what it may hold of an aggregate beyond it. */
  | { type: 'AT_SEQUENCE_NUMBER'; done: Checkpoint };

/**
 * Turns a lease's checkpoint into the position to read from. `LATEST` becomes the time at which the lease was
 * made, so that what arrived between that and the first read, or before a restart, is read too.
 *
 * @param now ms since the epoch; stands in for that time in a `LATEST` lease made by a KCL application.
 */
export function readFrom(lease: Lease, start: StartingPosition, now: number): ReadFrom {
  const { sequenceNumber } = lease.checkpoint;
  switch (sequenceNumber) {
    case 'TRIM_HORIZON':
      return { type: 'TRIM_HORIZON' };
    case 'LATEST':
      return { type: 'AT_TIMESTAMP', timestamp: lease.startedAt ?? now };
    case 'AT_TIMESTAMP':
      return start.type === 'AT_TIMESTAMP' ? start : { type: 'TRIM_HORIZON' };
    default:
      return { type: 'AT_SEQUENCE_NUMBER', done: lease.checkpoint };
  }
}
