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
 * retention, and listings that hold more than one generation of the same hash range.
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
  const leased = new Map(leases.map((lease) => [lease.leaseKey, lease]));
  const created = new Map<string, Lease>();
  /** Shards walked already, with whether they or an ancestor have a lease. */
  const tracked = new Map<string, boolean>();

  const walk = (shardId: string): boolean => {
    const known = tracked.get(shardId);
    if (known !== undefined) return known;
    if (leased.has(shardId)) return remember(shardId, true);
    const shard = listed.get(shardId);
    if (!shard) return remember(shardId, false); // trimmed: nothing of it can be read any more
    const parents = shard.parentShardIds.filter((id) => listed.has(id) || leased.has(id));
    const fromTracked = parents.map(walk).some(Boolean);
    if (fromTracked && start.type === 'LATEST') {
      // Both parents of a merge were open at once, so one without a lease lost its row: it is read from its beginning.
      for (const id of parents) {
        const parent = listed.get(id);
        if (parent && !leased.has(id) && !created.has(id) && !tracked.get(id)) create(parent, true);
      }
    }
    if (fromTracked || start.type !== 'LATEST') {
      if (parents.every((id) => isFinished(leased.get(id)))) create(shard, fromTracked);
    } else if (shard.open) create(shard, false);
    return remember(shardId, fromTracked);
  };
  const remember = (shardId: string, value: boolean): boolean => {
    tracked.set(shardId, value);
    return value;
  };
  const create = (shard: ShardInfo, fromTracked: boolean): void => {
    created.set(shard.shardId, newLease(shard, firstCheckpoint(start, fromTracked), now));
  };

  for (const shard of shards) if (shard.open) walk(shard.shardId);
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

/** True when all of a shard was processed. */
export function isFinished(lease: Lease | undefined): boolean {
  return lease?.checkpoint.sequenceNumber === 'SHARD_END';
}

/** The leases whose shard may be processed now: not finished, and every parent that has a lease is. */
export function startable(leases: readonly Lease[]): Lease[] {
  const byKey = new Map(leases.map((lease) => [lease.leaseKey, lease]));
  return leases.filter(
    (lease) =>
      !isFinished(lease) &&
      lease.parentShardIds.every((id) => {
        const parent = byKey.get(id);
        return parent === undefined || isFinished(parent);
      }),
  );
}

/**
 * The finished leases whose rows have done their work, as KCL's lease cleanup judges it: each shard that took over has
 * a lease and is past its beginning, so nobody needs this row to know where it begins. Oldest first: a row stays while
 * one of its parents' does, since that one waits for it to be seen.
 *
 * @param shards all that ListShards returned; tells children that the row doesn't.
 */
export function removable(shards: readonly ShardInfo[], leases: readonly Lease[]): Lease[] {
  const leased = new Map(leases.map((lease) => [lease.leaseKey, lease]));
  const listed = new Set(shards.map(({ shardId }) => shardId));
  const children = new Map(leases.map(({ leaseKey, childShardIds }) => [leaseKey, new Set(childShardIds)]));
  for (const { shardId, parentShardIds } of shards) {
    for (const parent of parentShardIds) children.get(parent)?.add(shardId);
  }
  return leases.filter((lease) => {
    if (!isFinished(lease) || lease.parentShardIds.some((id) => leased.has(id))) return false;
    const heirs = [...(children.get(lease.leaseKey) ?? [])];
    // Without heirs: an end that nobody can tell the reason of. It goes when retention has removed the shard.
    if (heirs.length === 0) return !listed.has(lease.leaseKey);
    return heirs.every((id) => hasBegun(leased.get(id)));
  });
}

/** True when records of the shard were done with. */
function hasBegun(lease: Lease | undefined): boolean {
  return lease !== undefined && (isFinished(lease) || /^\d+$/.test(lease.checkpoint.sequenceNumber));
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
