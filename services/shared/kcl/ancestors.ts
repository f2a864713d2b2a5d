import type { ShardInfo } from '../list-shards.ts';
import type { Lease } from './lease-row.ts';

type Range = ShardInfo['hashKeyRange'];

/** Where a shard stands in its stream: when it was made, and which hash keys it has. */
interface Place {
  /** Of the shard's id: `shardId-000000000012` is 12. */
  number: number;
  /** `undefined` when it isn't known: KCL 1 wrote none. */
  range: { starting: bigint; ending: bigint } | undefined;
}

/**
 * Which shards have a lease among their ancestors: what an application has begun, its descendants go on with.
 *
 * Follows the listing, and where that was cut, since retention has removed parents that never had a lease, goes by number
 * and hash range. The open shards of a stream divide all hash keys among them at any time, and Kinesis numbers shards
 * in the order in which it makes them. So of two shards that share a hash key, the one with the lower number is an
 * ancestor of the other.
 */
export class LeasedAncestors {
  readonly #leases: ReadonlyMap<string, Lease>;
  readonly #listed: ReadonlyMap<string, ShardInfo>;
  readonly #places: Place[] = [];
  readonly #known = new Map<string, boolean>();

  /** @param leases @param listed both by shard id. */
  constructor(leases: ReadonlyMap<string, Lease>, listed: ReadonlyMap<string, ShardInfo>) {
    this.#leases = leases;
    this.#listed = listed;
    for (const [shardId, lease] of leases) {
      const place = placeOf(shardId, this.#rangeOf(lease, shardId));
      if (place) this.#places.push(place);
    }
  }

  /** True when an ancestor of the shard has a lease, or may have one: an older lease whose range isn't known. */
  of(shard: ShardInfo): boolean {
    const { shardId, parentShardIds, hashKeyRange } = shard;
    const known = this.#known.get(shardId);
    if (known !== undefined) return known;
    this.#known.set(shardId, false); // a listing with a cycle in it must not hang us
    const has = (id: string): boolean => {
      const parent = this.#listed.get(id);
      return this.#leases.has(id) || (parent !== undefined && this.of(parent));
    };
    const isCut = parentShardIds.some((id) => !this.#listed.has(id));
    const found = parentShardIds.some(has) || (isCut && this.#hasOlder(shardId, hashKeyRange));
    this.#known.set(shardId, found);
    return found;
  }

  /** The same for a lease, whose shard may have left the listing. */
  ofLease(lease: Lease): boolean {
    return (
      lease.parentShardIds.some((id) => this.#leases.has(id)) ||
      this.#hasOlder(lease.leaseKey, this.#rangeOf(lease))
    );
  }

  /** Is one of the leases older than the shard, and of a hash key of it? */
  #hasOlder(shardId: string, range: Range | undefined): boolean {
    const shard = placeOf(shardId, range);
    return shard !== undefined && this.#places.some((lease) => mayDescend(shard, lease) !== false);
  }

  #rangeOf({ hashKeyRange, leaseKey }: Lease, shardId = leaseKey): Range | undefined {
    return hashKeyRange ?? this.#listed.get(shardId)?.hashKeyRange;
  }
}

/** True when the shard surely descends from that of the lease. */
export function descendsFrom(shard: ShardInfo, lease: Lease): boolean {
  if (shard.parentShardIds.includes(lease.leaseKey)) return true;
  const ancestor = placeOf(lease.leaseKey, lease.hashKeyRange);
  const own = placeOf(shard.shardId, shard.hashKeyRange);
  return ancestor !== undefined && own !== undefined && mayDescend(own, ancestor) === true;
}

/** `undefined` when it isn't known, for want of a range. */
function mayDescend(shard: Place, ancestor: Place): boolean | undefined {
  if (ancestor.number >= shard.number) return false;
  if (!shard.range || !ancestor.range) return undefined;
  return ancestor.range.starting <= shard.range.ending && shard.range.starting <= ancestor.range.ending;
}

/** `undefined` for an id that doesn't tell a number. */
function placeOf(shardId: string, range: Range | undefined): Place | undefined {
  const digits = /^\D*(\d+)$/.exec(shardId)?.[1];
  if (digits === undefined) return undefined;
  const known = range && /^\d+$/.test(range.starting) && /^\d+$/.test(range.ending);
  return {
    number: Number(digits),
    range: known ? { starting: BigInt(range.starting), ending: BigInt(range.ending) } : undefined,
  };
}
