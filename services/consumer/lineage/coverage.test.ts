import { describe, expect, it } from 'vitest';
import { findHoles } from './coverage.ts';
import { finished, LAST_HASH_KEY, LATEST, NOW, shard } from './fixtures.ts';
import { planLeases } from './lineage.ts';

describe('findHoles', () => {
  const halves = [shard(1, [0], true, [0n, 9n]), shard(2, [0], true, [10n, LAST_HASH_KEY])];
  const leases = planLeases([shard(0, [], false), ...halves], [], LATEST, NOW);

  it('finds the range of an open shard whose lease says that it ended', () => {
    const wrong = leases.map((lease) => (lease.leaseKey === 's1' ? finished(lease) : lease));
    expect(findHoles(halves, wrong)).toEqual([{ starting: 0n, ending: 9n }]);
    expect(findHoles(halves, leases)).toEqual([]);
    expect(findHoles([], [])).toEqual([{ starting: 0n, ending: LAST_HASH_KEY }]);
  });

  it('takes generations that are listed side by side for no hole', () => {
    expect(findHoles([shard(0, [], false), ...halves], leases)).toEqual([]);
  });
});
