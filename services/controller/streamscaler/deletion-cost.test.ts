import { describe, expect, it } from 'vitest';
import type { ShardObservation } from '../scaling/observation.ts';
import { deletionCosts } from './deletion-cost.ts';

const shard = (owner: string | undefined, records?: number): ShardObservation => ({
  shardId: 's',
  open: true,
  startable: true,
  hashKeyRange: { starting: '0', ending: '1' },
  lagSeconds: 0,
  owner,
  arrival: undefined,
  processed: records === undefined ? undefined : { records, bytes: 0 },
  busyShare: undefined,
});

describe('the cost of deleting a pod', () => {
  it('is its shards, then its rate', () => {
    const costs = deletionCosts(
      ['idle', 'one', 'busy', 'two'],
      [
        shard('one-0190'),
        shard('busy-0190', 900),
        shard('two-0190', 1),
        shard('two-0190', 1),
        shard(undefined),
        shard('gone-0190', 5),
      ],
    );
    expect([...costs.entries()].sort((a, b) => a[1] - b[1]).map(([pod]) => pod)).toEqual([
      'idle',
      'one',
      'busy',
      'two',
    ]);
    expect(costs.get('idle')).toBe(0);
  });

  it("is told apart for pods whose names begin alike, and for KCL's worker ids", () => {
    const pods = ['web', 'web-1', 'web-1-7c9f-x2x', 'kcl-0'];
    const costs = deletionCosts(pods, [
      shard('web-1-7c9f-x2x-0190-aaaa'),
      shard('web-1-0190'),
      shard('kcl-0:uuid'),
      shard('web-17-0190'),
    ]);
    expect(Object.fromEntries(costs)).toEqual({
      'web-1-7c9f-x2x': 1_000_000,
      'web-1': 1_000_000,
      'kcl-0': 1_000_000,
      web: 1_000_000,
    });
  });

  it('stays an int32 for a pod with thousands of shards', () => {
    const many = Array.from({ length: 5_000 }, () => shard('p-1', 2_000_000));
    expect(deletionCosts(['p'], many).get('p')).toBe(2_147_483_647);
  });
});
