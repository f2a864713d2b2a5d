import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { ShardRouter } from './shard-router.ts';

const HASH_SPACE = 2n ** 128n;

/** Open shards of equal size, named from 0 on, as those of a stream that was just made. */
function shards(n: number): ShardInfo[] {
  const at = (i: number) => (HASH_SPACE * BigInt(i)) / BigInt(n);
  return Array.from({ length: n }, (_, i) => ({
    shardId: `shardId-00000000000${i}`,
    parentShardIds: [],
    hashKeyRange: { starting: `${at(i)}`, ending: `${at(i + 1) - 1n}` },
    open: true,
  }));
}

it('reads the shards again when a stream was made anew with fewer of the same names, and not when a map says so already', async () => {
  let current = shards(4);
  const listShards = vi.fn(async () => current);
  const random = () => 0;
  const router = new ShardRouter({ listShards, clock: systemClock, random, log: pino({ level: 'silent' }) });
  await router.refresh();
  const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
  const key = keys.find((candidate) => router.map?.shardOf(candidate) === 'shardId-000000000003') ?? '';
  router.mispredicted(key, 'shardId-000000000003');
  expect(listShards).toHaveBeenCalledTimes(1);
  current = shards(2);
  router.mispredicted(key, 'shardId-000000000001');
  expect(router.map).toBeUndefined();
  await router.refresh();
  expect(router.map?.shardOf(key)).toBe('shardId-000000000001');
  router.mispredicted(key, 'shardId-000000000001');
  expect(listShards).toHaveBeenCalledTimes(2);
  router.stop();
});
