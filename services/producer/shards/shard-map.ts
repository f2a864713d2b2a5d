import { hash } from 'node:crypto';
import type { ShardInfo } from '../../shared/list-shards.ts';

/** Hash keys as 32 hexadecimal digits: as text they sort as the 128-bit numbers they are, with no BigInt an event. */
export type HashKey = string;

/** Sources whose shard is remembered; the cache starts over when it is full, so hostile ones can't grow it. */
const MAX_CACHED_KEYS = 50_000;

/** Where Kinesis puts a partition key: its MD5. */
export function hashKeyOfPartitionKey(partitionKey: string): HashKey {
  return hash('md5', partitionKey);
}

/** The decimal form that `ExplicitHashKey` takes. */
export function toDecimal(hashKey: HashKey): string {
  return BigInt(`0x${hashKey}`).toString();
}

interface Range {
  shardId: string;
  starting: HashKey;
  ending: HashKey;
}

/** Which open shard each partition key goes to, as of one ListShards. Immutable but for its cache. */
export class ShardMap {
  readonly #ranges: Range[];
  readonly #byKey = new Map<string, string>();

  /** @param shards as ListShards gives them; closed ones are left out. */
  constructor(shards: readonly ShardInfo[]) {
    this.#ranges = shards
      .filter((shard) => shard.open)
      .map(({ shardId, hashKeyRange: { starting, ending } }) => ({
        shardId,
        starting: toHashKey(starting),
        ending: toHashKey(ending),
      }))
      .sort((a, b) => (a.starting < b.starting ? -1 : 1));
  }

  /** The shard that takes records of this key; undefined where the ranges have a hole. */
  shardOf(partitionKey: string): string | undefined {
    const cached = this.#byKey.get(partitionKey);
    if (cached !== undefined) return cached;
    const shardId = this.#find(hashKeyOfPartitionKey(partitionKey));
    if (shardId === undefined) return undefined;
    if (this.#byKey.size >= MAX_CACHED_KEYS) this.#byKey.clear();
    this.#byKey.set(partitionKey, shardId);
    return shardId;
  }

  has(shardId: string): boolean {
    return this.#ranges.some((range) => range.shardId === shardId);
  }

  /** True when the shard's range is known and holds the key's hash. */
  holds(shardId: string, partitionKey: string): boolean {
    return this.shardOf(partitionKey) === shardId;
  }

  #find(key: HashKey): string | undefined {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle] as Range;
      if (key < range.starting) high = middle - 1;
      else if (key > range.ending) low = middle + 1;
      else return range.shardId;
    }
    return undefined;
  }
}

function toHashKey(decimal: string): HashKey {
  return BigInt(decimal).toString(16).padStart(32, '0');
}
