import { HASH_KEYS, type HashKeyRange } from './observation.ts';
import type { ReshardStep } from './reshard.ts';

/** An open shard as the decision about shards sees it. */
export interface OpenShard {
  id: string;
  range: HashKeyRange;
  /** What is written to it over what it takes, 0-1. */
  use: number;
  /** User records that are written to it a second. */
  records: number;
  /** Share of the hash key space. */
  share: number;
}

/** The fullest shard, when it is fuller than `limit`. */
export function hotShard(open: readonly OpenShard[], limit: number): OpenShard | undefined {
  const hottest = open.reduce((a, b) => (b.use > a.use ? b : a));
  return hottest.use > limit ? hottest : undefined;
}

/** Splits a shard in the middle of its range. */
export function splitOf({ id, range }: OpenShard): ReshardStep {
  const middle = (BigInt(range.starting) + BigInt(range.ending)) / 2n + 1n;
  return { kind: 'split-shard', shardId: id, newStartingHashKey: middle.toString() };
}

/** The two neighbours that are written to least, as if they were one shard. */
export function coldestPair(
  open: readonly OpenShard[],
): { left: OpenShard; right: OpenShard; use: number } | undefined {
  const sorted = [...open].sort((a, b) => (BigInt(a.range.starting) < BigInt(b.range.starting) ? -1 : 1));
  let coldest: { left: OpenShard; right: OpenShard; use: number } | undefined;
  for (const [i, left] of sorted.entries()) {
    const right = sorted[i + 1];
    if (!right || BigInt(left.range.ending) + 1n !== BigInt(right.range.starting)) continue;
    const use = left.use + right.use;
    if (!coldest || use < coldest.use) coldest = { left, right, use };
  }
  return coldest;
}

/** Use of the fullest shard if there were `target` equal ones, were keys spread evenly within each of today's. */
export function usageAfterUniform(open: readonly OpenShard[], target: number): number {
  const uses = new Array<number>(target).fill(0);
  const width = 1 / target;
  for (const { range, use, share } of open) {
    if (share === 0) continue;
    const from = Number((BigInt(range.starting) * 1_000_000_000n) / HASH_KEYS) / 1e9;
    const to = from + share;
    const last = Math.min(target - 1, Math.floor((to - 1e-9) / width));
    for (let i = Math.floor((from + 1e-9) / width); i <= last; i++) {
      const overlap = Math.min(to, (i + 1) * width) - Math.max(from, i * width);
      uses[i] = (uses[i] ?? 0) + (use * Math.max(0, overlap)) / share;
    }
  }
  return Math.max(...uses);
}
