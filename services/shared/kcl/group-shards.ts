import type { ShardInfo } from '../list-shards.ts';
import { LeasedAncestors } from './ancestors.ts';
import type { Lease } from './lease-row.ts';

/** A shard that the consumer group still has to read, and where it stands there. */
export interface GroupShard {
  shard: ShardInfo;
  lease: Lease | undefined;
  /** All its parents are read to their end. */
  startable: boolean;
}

/**
 * The shards that a group still has to read: the open ones, and closed ones that it isn't done with.
 *
 * KCL removes the lease of a finished shard once its children are read, and an application that began at `LATEST`
 * never had leases of older shards. So a closed shard without a lease is done with, unless it descends from one that
 * has a lease: then its turn comes.
 */
export function groupShards(shards: readonly ShardInfo[], leases: ReadonlyMap<string, Lease>): GroupShard[] {
  const listed = new Map(shards.map((shard) => [shard.shardId, shard]));
  const ancestors = new LeasedAncestors(leases, listed);
  const isDone = (shard: ShardInfo): boolean => {
    const lease = leases.get(shard.shardId);
    if (lease) return lease.checkpoint.sequenceNumber === 'SHARD_END';
    return !shard.open && !ancestors.of(shard);
  };
  return shards
    .filter((shard) => !isDone(shard))
    .map((shard) => ({
      shard,
      lease: leases.get(shard.shardId),
      startable: shard.parentShardIds.every((id) => {
        const parent = listed.get(id);
        return parent === undefined || isDone(parent);
      }),
    }));
}

/**
 * The shard of a lease key: the key itself, or, in a KCL application of several streams, its last part
 * (`account:stream:created:shardId`). `undefined` for a lease of another stream.
 *
 * @param stream name or ARN.
 */
export function shardOfLease(leaseKey: string, stream: string): string | undefined {
  const parts = leaseKey.split(':');
  if (parts.length === 1) return leaseKey;
  const name = stream.slice(stream.lastIndexOf('/') + 1);
  return parts.length >= 4 && parts.at(-3) === name ? parts.at(-1) : undefined;
}
