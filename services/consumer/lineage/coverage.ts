import { LeasedAncestors } from '../../shared/kcl/ancestors.ts';
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
 * that gets its lease once its ancestors are finished. Overlapping ranges (generations of shards side by side, as
 * emulators list them) are no holes.
 *
 * @param shards all that ListShards returned.
 * @param leases with those that were just created.
 */
export function findHoles(shards: readonly ShardInfo[], leases: readonly Lease[]): HashRange[] {
  const leased = new Map(leases.map((lease) => [lease.leaseKey, lease]));
  const listed = new Map(shards.map((shard) => [shard.shardId, shard]));
  const ancestors = new LeasedAncestors(leased, listed);
  const ranges: HashRange[] = [];
  for (const shard of shards) {
    const lease = leased.get(shard.shardId);
    const { starting, ending } = shard.hashKeyRange;
    if (lease ? !isFinished(lease) : ancestors.of(shard))
      ranges.push({ starting: BigInt(starting), ending: BigInt(ending) });
  }
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
