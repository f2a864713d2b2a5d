import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import { planMoves } from './balance.ts';

function lease(n: number, leaseOwner?: string): Lease {
  return {
    leaseKey: `s${String(n).padStart(2, '0')}`,
    leaseOwner,
    leaseCounter: 0,
    checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
    ownerSwitchesSinceCheckpoint: 0,
    parentShardIds: [],
    childShardIds: [],
    hashKeyRange: undefined,
    startedAt: undefined,
    workerAddress: undefined,
    tenure: undefined,
    report: undefined,
  };
}

/** As `s00: a -> b`. */
function plan(owners: (string | undefined)[], workers: string[], dead: string[] = []): string[] {
  const leases = owners.map((owner, n) => lease(n, owner));
  const free = new Set(leases.filter((l) => l.leaseOwner === undefined || dead.includes(l.leaseOwner)));
  return planMoves({ leases, free, workers: new Set(workers) }).map(
    ({ lease: { leaseKey, leaseOwner }, to }) => `${leaseKey}: ${leaseOwner ?? '-'} -> ${to}`,
  );
}

describe('planMoves', () => {
  it('gives all to the only worker, and to nobody when there is none', () => {
    expect(plan([undefined, undefined], ['a'])).toEqual(['s00: - -> a', 's01: - -> a']);
    expect(plan([undefined, 'a'], [])).toEqual([]);
  });

  it('spreads what is free over those who have fewest, also those who hold nothing', () => {
    expect(plan([undefined, undefined, undefined, 'b'], ['a', 'b'])).toEqual([
      's00: - -> a',
      's01: - -> b',
      's02: - -> a',
    ]);
  });

  it('moves one where one will do, and leaves a difference of one alone', () => {
    expect(plan(['a', 'b', 'b', 'b'], ['a', 'b'])).toEqual(['s03: b -> a']);
    expect(plan(['a', 'b', 'b'], ['a', 'b'])).toEqual([]);
    expect(plan(['b'], ['a', 'b'])).toEqual([]);
    // Two hold two each, a third comes: one of them gives, not both.
    expect(plan(['a', 'a', 'b', 'b'], ['a', 'b', 'c'])).toEqual(['s03: b -> c']);
  });

  it('fills a gap with the leases of a dead worker before it moves any', () => {
    expect(plan(['dead', 'dead', 'a', 'a', 'a', 'b'], ['a', 'b'], ['dead'])).toEqual([
      's00: dead -> b',
      's01: dead -> b',
    ]);
  });

  it('spreads the leases of a worker that leaves', () => {
    expect(plan(['a', 'a', 'b', 'c', 'c'], ['b', 'c'])).toEqual(['s00: a -> c', 's01: a -> b']);
  });

  it('is the same for all who see the same, balanced, and makes the fewest moves there are', () => {
    const start = fc.record({
      workers: fc.integer({ min: 1, max: 6 }),
      owners: fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 1, maxLength: 24 }),
    });
    fc.assert(
      fc.property(start, ({ workers, owners }) => {
        const names = Array.from({ length: workers }, (_, i) => `w${i}`);
        const leases = owners.map((owner, n) => lease(n, owner < 0 ? undefined : names[owner % workers]));
        const free = new Set(leases.filter((l) => l.leaseOwner === undefined));
        const moves = planMoves({ leases, free, workers: new Set(names) });
        const shuffled = planMoves({
          leases: leases.toReversed(),
          free,
          workers: new Set(names.toReversed()),
        });
        expect(shuffled).toEqual(moves);
        const after = new Map(leases.map((l) => [l.leaseKey, l.leaseOwner]));
        for (const move of moves) after.set(move.lease.leaseKey, move.to);
        const count = (owned: Iterable<string | undefined>) =>
          names.map((n) => [...owned].filter((o) => o === n).length);
        const counts = count([...after.values()]);
        expect(counts.reduce((a, b) => a + b)).toBe(leases.length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        const share = Math.floor(leases.length / workers);
        const spare = leases.length % workers;
        const before = count(leases.map((l) => l.leaseOwner)).sort((a, b) => b - a);
        const fewest = before.reduce((sum, n, i) => sum + Math.max(0, n - share - (i < spare ? 1 : 0)), 0);
        expect(moves.filter((m) => !free.has(m.lease))).toHaveLength(fewest);
      }),
      { numRuns: 500 },
    );
  });
});
