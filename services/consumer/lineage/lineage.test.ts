import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { isFinished, planLeases, readFrom, type StartingPosition, startable } from './lineage.ts';

const HORIZON: StartingPosition = { type: 'TRIM_HORIZON' };
const LATEST: StartingPosition = { type: 'LATEST' };
const NOW = 1_700_000_000_000;

const shard = (n: number, parents: number[] = [], open = true): ShardInfo => ({
  shardId: `s${n}`,
  parentShardIds: parents.map((p) => `s${p}`),
  hashKeyRange: { starting: '0', ending: '1' },
  open,
});
const finished = (lease: Lease): Lease => ({
  ...lease,
  checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 },
});
const keys = (leases: readonly Lease[]) => leases.map((lease) => lease.leaseKey).sort();

/** A stream after a random history of splits and merges of its open shards. */
const history = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(), { maxLength: 12 }))
  .map(([initial, choices]) => {
    const shards = Array.from({ length: initial }, (_, n) => shard(n));
    for (const choice of choices) {
      const open = shards.filter((s) => s.open);
      const first = open[choice % open.length]!;
      const second = open[(choice >> 2) % open.length]!;
      const id = (s: ShardInfo) => Number(s.shardId.slice(1));
      first.open = false;
      if (choice % 2 === 0 || first === second) {
        shards.push(shard(shards.length, [id(first)]), shard(shards.length + 1, [id(first)]));
      } else {
        second.open = false;
        shards.push(shard(shards.length, [id(first), id(second)]));
      }
    }
    return shards;
  });

/** Works as workers do: plan, process what may be processed, until nothing is left but open shards. */
function drain(shards: readonly ShardInfo[], start: StartingPosition): { order: string[]; leases: Lease[] } {
  let leases: Lease[] = [];
  const order: string[] = [];
  for (;;) {
    const planned = planLeases(shards, leases, start, NOW);
    leases = [...leases, ...planned];
    const ready = startable(leases).filter((lease) => !order.includes(lease.leaseKey));
    if (ready.length === 0) return { order, leases };
    for (const { leaseKey } of ready) {
      order.push(leaseKey);
      const closed = !shards.find((s) => s.shardId === leaseKey)!.open;
      if (closed) leases = leases.map((lease) => (lease.leaseKey === leaseKey ? finished(lease) : lease));
    }
  }
}

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

  it('does not start the child of a merge while one parent is unfinished', () => {
    const shards = [shard(0, [], false), shard(1, [], false), shard(2, [0, 1])];
    const leases = planLeases(shards, [], HORIZON, NOW);
    expect(keys(leases)).toEqual(['s0', 's1']);
    const half = leases.map((lease) => (lease.leaseKey === 's0' ? finished(lease) : lease));
    expect(planLeases(shards, half, HORIZON, NOW)).toEqual([]);
    expect(keys(planLeases(shards, leases.map(finished), HORIZON, NOW))).toEqual(['s2']);
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
