import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import {
  drain,
  finished,
  HORIZON,
  history,
  keys,
  LAST_HASH_KEY,
  LATEST,
  NOW,
  STREAM,
  shard,
} from './fixtures.ts';
import { findUnlisted, isFinished, planLeases, readFrom, removable, startable } from './lineage.ts';

describe('planLeases', () => {
  it('processes every shard once, each after all its parents, from TRIM_HORIZON', () => {
    fc.assert(
      fc.property(history, (shards) => {
        const { order } = drain(shards, HORIZON);
        expect([...order].sort()).toEqual(shards.map((s) => s.shardId).sort());
        for (const { shardId, parentShardIds } of shards) {
          for (const parent of parentShardIds) {
            expect(order.indexOf(parent)).toBeLessThan(order.indexOf(shardId));
          }
        }
      }),
    );
  });

  it('leases the open shards only, from LATEST', () => {
    fc.assert(
      fc.property(history, (shards) => {
        const { order, leases } = drain(shards, LATEST);
        expect([...order].sort()).toEqual(
          shards
            .filter((s) => s.open)
            .map((s) => s.shardId)
            .sort(),
        );
        expect(leases.every((lease) => lease.startedAt === NOW)).toBe(true);
      }),
    );
  });

  it('never plans a lease twice, whatever is leased already', () => {
    fc.assert(
      fc.property(history, fc.array(fc.nat(), { maxLength: 6 }), (shards, picks) => {
        const { leases } = drain(shards, HORIZON);
        const some = leases.filter((_, i) => !picks.includes(i));
        const planned = keys(planLeases(shards, some, HORIZON, NOW));
        expect(planned.filter((key) => keys(some).includes(key))).toEqual([]);
      }),
    );
  });

  it('reads the children of a leased shard from their first record, also when it began at LATEST', () => {
    const before = [shard(0)];
    const [lease] = planLeases(before, [], LATEST, NOW);
    const after = [shard(0, [], false), shard(1, [0]), shard(2, [0])];
    expect(planLeases(after, [lease!], LATEST, NOW)).toEqual([]);
    const children = planLeases(after, [finished(lease!)], LATEST, NOW);
    expect(children.map((child) => child.checkpoint.sequenceNumber)).toEqual([
      'TRIM_HORIZON',
      'TRIM_HORIZON',
    ]);
  });

  it('starts a child whose parent was trimmed by retention', () => {
    expect(keys(planLeases([shard(2, [0, 1])], [], HORIZON, NOW))).toEqual(['s2']);
  });

  describe('when the shards between a lease and what is listed are gone', () => {
    const [lower, upper] = [
      [0n, 2n ** 127n - 1n],
      [2n ** 127n, LAST_HASH_KEY],
    ];
    const leaseOf = (s: ShardInfo): Lease => planLeases([{ ...s, open: true }], [], LATEST, NOW)[0]!;
    const plan = (shards: ShardInfo[], leases: Lease[]) =>
      planLeases(shards, leases, LATEST, NOW).map((lease) => [
        lease.leaseKey,
        lease.checkpoint.sequenceNumber,
      ]);
    const one = leaseOf(shard(10));

    it('reads the shard that is left from its first record, also when it is closed', () => {
      expect(plan([shard(12, [11])], [one])).toEqual([['s12', 'TRIM_HORIZON']]);
      expect(plan([shard(12, [11])], [finished(one)])).toEqual([['s12', 'TRIM_HORIZON']]);
      const halves = [shard(13, [12], true, lower), shard(14, [12], true, upper)];
      expect(plan([shard(12, [11], false), ...halves], [one])).toEqual([['s12', 'TRIM_HORIZON']]);
    });

    it('begins at LATEST where the hash keys, the number or an empty table say that nobody was there', () => {
      const rest = shard(12, [11], true, upper);
      expect(plan([rest], [leaseOf(shard(10, [9], true, lower))])).toEqual([['s12', 'LATEST']]);
      expect(plan([shard(9, [8], false), rest], [])).toEqual([['s12', 'LATEST']]);
      // A group that began at the children of 9, and has lost the row of one of them.
      const began = leaseOf(shard(13, [9], true, lower));
      expect(plan([shard(9, [8], false), shard(13, [9]), shard(14, [9], true, upper)], [began])).toEqual([
        ['s14', 'LATEST'],
      ]);
    });

    it('takes a lease of KCL 1 that tells no hash keys for an ancestor, which at worst reads twice', () => {
      expect(plan([shard(12, [11])], [{ ...one, hashKeyRange: undefined }])).toEqual([
        ['s12', 'TRIM_HORIZON'],
      ]);
      expect(plan([shard(12, [11])], [{ ...one, leaseKey: 'nameless' }])).toEqual([['s12', 'LATEST']]);
    });
  });

  it('does not start the child of a merge while one parent is unfinished', () => {
    const shards = [shard(0, [], false), shard(1, [], false), shard(2, [0, 1])];
    const leases = planLeases(shards, [], HORIZON, NOW);
    expect(keys(leases)).toEqual(['s0', 's1']);
    const half = leases.map((lease) => (lease.leaseKey === 's0' ? finished(lease) : lease));
    expect(planLeases(shards, half, HORIZON, NOW)).toEqual([]);
    expect(keys(planLeases(shards, leases.map(finished), HORIZON, NOW))).toEqual(['s2']);
  });
});

describe('startable', () => {
  it('leaves a child alone whose row came before its parents were finished, as KCL may make it', () => {
    const [a, b] = planLeases([shard(0), shard(1)], [], HORIZON, NOW);
    const child = { ...a!, leaseKey: 's2', parentShardIds: ['s0', 's1', 's9'] };
    expect(keys(startable([a!, b!, child]))).toEqual(['s0', 's1']);
    expect(keys(startable([finished(a!), b!, child]))).toEqual(['s1']);
    expect(keys(startable([finished(a!), finished(b!), child]))).toEqual(['s2']);
  });
});

describe('findUnlisted', () => {
  const [lease] = planLeases([shard(10)], [], HORIZON, NOW);
  const own = { ...lease!, stream: STREAM };
  const found = (shards: ShardInfo[], leases: Lease[]) => {
    const { trimmed, unknown } = findUnlisted(shards, leases, STREAM);
    return { trimmed: keys(trimmed), unknown: keys(unknown) };
  };

  it('tells that retention removed a shard by its child, or by a descendant in the stream that it was made for', () => {
    const trimmed = { trimmed: ['s10'], unknown: [] };
    expect(found([shard(11, [10])], [own])).toEqual(trimmed);
    expect(found([shard(12, [11])], [own])).toEqual(trimmed);
    expect(found([shard(11, [10])], [lease!])).toEqual(trimmed);
    expect(found([shard(12, [11])], [finished(own)])).toEqual({ trimmed: [], unknown: [] });
    expect(found([shard(10)], [own])).toEqual({ trimmed: [], unknown: [] });
  });

  it('does not take a lease of another stream, or one that nobody knows of which, for a trimmed one', () => {
    const unknown = { trimmed: [], unknown: ['s10'] };
    const other = { ...own, stream: 'other' };
    expect(found([shard(11, [10])], [other])).toEqual(unknown);
    expect(found([shard(12, [11])], [other])).toEqual(unknown);
    expect(found([shard(12, [11])], [lease!])).toEqual(unknown);
    // Nor one that a listing leaves out although nothing took over from it.
    expect(found([shard(9)], [own])).toEqual(unknown);
    expect(found([], [own])).toEqual(unknown);
  });
});

describe('removable', () => {
  const shards = [shard(0, [], false), shard(1, [0]), shard(2, [0])];
  const [parent] = planLeases([shard(0)], [], HORIZON, NOW);
  const ended = finished(parent!);
  const begun = (lease: Lease): Lease => ({
    ...lease,
    checkpoint: { sequenceNumber: '49', subSequenceNumber: 0 },
  });

  it('keeps a finished row until all its children are past their beginning', () => {
    const children = planLeases(shards, [ended], HORIZON, NOW);
    expect(children).toHaveLength(2);
    expect(removable(shards, [ended])).toEqual([]);
    expect(removable(shards, [ended, ...children])).toEqual([]);
    expect(removable(shards, [ended, begun(children[0]!), children[1]!])).toEqual([]);
    expect(removable(shards, [ended, ...children.map(begun)])).toEqual([ended]);
  });

  it('keeps the row of a finished child while its parent needs it', () => {
    const split = [shard(0, [], false), shard(1, [0], false), shard(2, [0]), shard(3, [1]), shard(4, [1])];
    const lease = (n: number) => ({
      ...parent!,
      leaseKey: `s${n}`,
      parentShardIds: split[n]!.parentShardIds,
    });
    const leases = [ended, finished(lease(1)), lease(2), begun(lease(3)), begun(lease(4))];
    expect(removable(split, leases)).toEqual([]);
    const later = leases.map((one) => (one.leaseKey === 's2' ? begun(one) : one));
    expect(keys(removable(split, later))).toEqual(['s0']);
    expect(keys(removable(split, later.slice(1)))).toEqual(['s1']);
  });

  it('knows children by the row alone, as KCL wrote it, when retention has removed the shard', () => {
    const row = { ...ended, childShardIds: ['s1', 's2'] };
    const children = planLeases(shards.slice(1), [], HORIZON, NOW);
    expect(removable(shards.slice(1), [row, ...children])).toEqual([]);
    expect(removable(shards.slice(1), [row, ...children.map(begun)])).toEqual([row]);
  });

  it('does not wait for a child that retention removed before it had a lease, but for its children', () => {
    const row = { ...ended, childShardIds: ['s1'] };
    const left = [shard(2, [1])];
    const [next] = planLeases(left, [row], LATEST, NOW);
    expect(removable(left, [row])).toEqual([]);
    expect(removable(left, [row, next!])).toEqual([]);
    expect(removable(left, [row, begun(next!)])).toEqual([row]);
    expect(removable([shard(3, [2])], [row])).toEqual([row]);
    // The next generation's rows don't go before it: without it they would look like ones that nobody was at.
    expect(removable([shard(2, [1], false)], [begun(row), finished(next!)])).toEqual([]);
  });

  it('waits for a child that a listing from before the split does not name yet', () => {
    expect(removable([shard(0)], [{ ...ended, childShardIds: ['s1', 's2'] }])).toEqual([]);
  });
});

describe('readFrom', () => {
  const lease = planLeases([shard(0)], [], LATEST, NOW)[0]!;

  it('never turns LATEST into a later LATEST', () => {
    expect(readFrom(lease, LATEST, NOW + 60_000)).toEqual({ type: 'AT_TIMESTAMP', timestamp: NOW });
  });

  it('goes on after the checkpoint', () => {
    const read = { ...lease, checkpoint: { sequenceNumber: '495', subSequenceNumber: 3 } };
    expect(readFrom(read, LATEST, NOW)).toEqual({ type: 'AT_SEQUENCE_NUMBER', done: read.checkpoint });
    expect(isFinished(read)).toBe(false);
  });

  it('reads all there is when the time it began at is no longer known', () => {
    const timed = { ...lease, checkpoint: { sequenceNumber: 'AT_TIMESTAMP', subSequenceNumber: 0 } };
    expect(readFrom(timed, { type: 'AT_TIMESTAMP', timestamp: 5 }, NOW)).toEqual({
      type: 'AT_TIMESTAMP',
      timestamp: 5,
    });
    expect(readFrom(timed, HORIZON, NOW)).toEqual({ type: 'TRIM_HORIZON' });
  });
});
