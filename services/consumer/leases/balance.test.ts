import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import { planTakes } from './balance.ts';

function lease(n: number, leaseOwner?: string): Lease {
  return {
    leaseKey: `s${n}`,
    leaseOwner,
    leaseCounter: 0,
    checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
    ownerSwitchesSinceCheckpoint: 0,
    parentShardIds: [],
    childShardIds: [],
    hashKeyRange: undefined,
    startedAt: undefined,
    report: undefined,
  };
}

function plan(
  leases: Lease[],
  worker: string,
  options: { dead?: string[]; leftOver?: string[]; seed?: number } = {},
) {
  const { dead = [], leftOver = [], seed = 1 } = options;
  const free = new Set(leases.filter((l) => l.leaseOwner === undefined || dead.includes(l.leaseOwner)));
  let state = seed;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  return planTakes({ leases, free, leftOver: new Set(leftOver), worker }, random);
}

const keys = (leases: readonly Lease[]) => leases.map((l) => l.leaseKey).sort();

describe('planTakes', () => {
  it('takes all when nobody else is there', () => {
    expect(keys(plan([lease(0), lease(1), lease(2)], 'a'))).toEqual(['s0', 's1', 's2']);
  });

  it('takes its share of what is free, and the rest only when nobody else did', () => {
    const leases = [lease(0), lease(1), lease(2), lease(3, 'b')];
    expect(plan(leases, 'a')).toHaveLength(2);
    expect(plan(leases, 'a', { leftOver: ['s0', 's1', 's2'] })).toHaveLength(3);
  });

  it('takes over the leases of a worker that died', () => {
    expect(keys(plan([lease(0, 'dead'), lease(1, 'a')], 'a', { dead: ['dead'] }))).toEqual(['s0']);
  });

  it('takes one from the worker with most, and leaves a difference of one alone', () => {
    const leases = [lease(0, 'a'), lease(1, 'b'), lease(2, 'b'), lease(3, 'b')];
    expect(plan(leases, 'a')).toHaveLength(1);
    expect(plan(leases, 'a')[0]?.leaseOwner).toBe('b');
    expect(plan([lease(0, 'a'), lease(1, 'b'), lease(2, 'b')], 'a')).toEqual([]);
    expect(plan([lease(0, 'b')], 'a')).toEqual([]);
  });

  it('brings any start to balance, moves little more than it must, and then rests', () => {
    const start = fc.record({
      workers: fc.integer({ min: 1, max: 6 }),
      owners: fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 1, maxLength: 24 }),
      seed: fc.integer({ min: 1, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(start, ({ workers, owners, seed }) => {
        const names = Array.from({ length: workers }, (_, i) => `w${i}`);
        let leases = owners.map((owner, n) => lease(n, owner < 0 ? undefined : names[owner % workers]));
        const count = (name: string) => leases.filter((l) => l.leaseOwner === name).length;
        const floor = Math.floor(leases.length / workers);
        const spare = leases.length % workers;
        // The fewest moves of held leases: what the fullest have over the share that is left for them.
        const sorted = names.map(count).sort((a, b) => b - a);
        const fewest = sorted.reduce((sum, n, i) => sum + Math.max(0, n - floor - (i < spare ? 1 : 0)), 0);
        let moves = 0;
        let quiet = 0;
        for (let round = 0; quiet < workers && round < 500; round++) {
          const worker = names[round % workers]!;
          const taken = plan(leases, worker, { seed: seed + round });
          quiet = taken.length === 0 ? quiet + 1 : 0;
          moves += taken.filter((l) => l.leaseOwner !== undefined).length;
          const won = new Set(keys(taken));
          leases = leases.map((l) => (won.has(l.leaseKey) ? { ...l, leaseOwner: worker } : l));
        }
        expect(quiet).toBe(workers);
        const counts = names.map(count);
        expect(counts.reduce((a, b) => a + b)).toBe(leases.length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        // A worker that holds nothing is not in the table: others may take what is due to it, which then moves once more.
        const unseen = sorted.filter((n) => n === 0).length;
        const wereFree = owners.filter((owner) => owner < 0).length;
        expect(moves).toBeLessThanOrEqual(fewest + wereFree + unseen * (floor + 1));
      }),
      { numRuns: 2_000 },
    );
  });
});
