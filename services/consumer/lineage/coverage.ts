import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { isFinished } from './lineage.ts';

/** A part of the hash key space, both ends included. */
export interface HashRange {
  starting: bigint;
  ending: bigint;
}

const LAST_HASH_KEY = 2n ** 128n - 1n;

/**
 * The parts of the hash key space whose records nobody is going to read: no unfinished lease covers them, and no shard
 * that gets its lease once its parents are finished. Overlapping ranges (generations of shards side by side, as
 * emulators list them) are no holes.
 *
 * @param shards all that ListShards returned.
 * @param leases with those that were just created.
 */
export function findHoles(shards: readonly ShardInfo[], leases: readonly Lease[]): HashRange[] {
  const leased = new Map(leases.map((lease) => [lease.leaseKey, lease]));
  const ranges: HashRange[] = [];
  const cover = (range: { starting: string; ending: string } | undefined): void => {
    if (range) ranges.push({ starting: BigInt(range.starting), ending: BigInt(range.ending) });
  };
  for (const shard of shards) {
    const lease = leased.get(shard.shardId);
    const comes = !lease && shard.parentShardIds.some((id) => leased.has(id));
    if (lease ? !isFinished(lease) : comes) cover(shard.hashKeyRange);
  }
  const listed = new Set(shards.map(({ shardId }) => shardId));
  // A shard that retention removed but that isn't worked off: its lease has the range.
  for (const lease of leases)
    if (!listed.has(lease.leaseKey) && !isFinished(lease)) cover(lease.hashKeyRange);
  return complement(ranges);
}

function complement(ranges: HashRange[]): HashRange[] {
  ranges.sort((a, b) => (a.starting < b.starting ? -1 : a.starting > b.starting ? 1 : 0));
  const holes: HashRange[] = [];
  let next = 0n;
  for (const { starting, ending } of ranges) {
    if (starting > next) holes.push({ starting: next, ending: starting - 1n });
    if (ending >= next) next = ending + 1n;
  }
  if (next <= LAST_HASH_KEY) holes.push({ starting: next, ending: LAST_HASH_KEY });
  return holes;
}
