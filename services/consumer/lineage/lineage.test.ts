import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupShards } from '../../shared/kcl/group-shards.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { findHoles } from './coverage.ts';
import {
  findUnlisted,
  isFinished,
  planLeases,
  readFrom,
  removable,
  type StartingPosition,
  startable,
} from './lineage.ts';

const HORIZON: StartingPosition = { type: 'TRIM_HORIZON' };
const LATEST: StartingPosition = { type: 'LATEST' };
const NOW = 1_700_000_000_000;
const STREAM = 'events';

const LAST_HASH_KEY = 2n ** 128n - 1n;

const shard = (n: number, parents: number[] = [], open = true, range = [0n, LAST_HASH_KEY]): ShardInfo => ({
  shardId: `s${n}`,
  parentShardIds: parents.map((p) => `s${p}`),
  hashKeyRange: { starting: String(range[0]), ending: String(range[1]) },
  open,
});
const finished = (lease: Lease): Lease => ({
  ...lease,
  checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 },
});
const keys = (leases: readonly Lease[]) => leases.map((lease) => lease.leaseKey).sort();

/** A stream of shards side by side that cover all hash keys, to be split and merged. */
class Stream {
  readonly shards: ShardInfo[];

  constructor(shards: number) {
    const size = (LAST_HASH_KEY + 1n) / BigInt(shards);
    this.shards = Array.from({ length: shards }, (_, n) => {
      const starting = BigInt(n) * size;
      return shard(n, [], true, [starting, n === shards - 1 ? LAST_HASH_KEY : starting + size - 1n]);
    });
  }

  /** Splits an open shard, or merges it with its neighbour. */
  reshard(choice: number): void {
    const open = this.shards.filter((s) => s.open).sort((a, b) => (start(a) < start(b) ? -1 : 1));
    const at = choice % open.length;
    const [first, second] = [open[at]!, open[at + 1]];
    first.open = false;
    const id = (s: ShardInfo) => Number(s.shardId.slice(1));
    const next = this.shards.length;
    if ((choice >> 8) % 2 === 0 || !second) {
      const middle = (start(first) + end(first)) / 2n;
      this.shards.push(shard(next, [id(first)], true, [start(first), middle]));
      this.shards.push(shard(next + 1, [id(first)], true, [middle + 1n, end(first)]));
    } else {
      second.open = false;
      this.shards.push(shard(next, [id(first), id(second)], true, [start(first), end(second)]));
    }
  }
}

const start = (s: ShardInfo) => BigInt(s.hashKeyRange.starting);
const end = (s: ShardInfo) => BigInt(s.hashKeyRange.ending);

/** A stream after a random history of splits and merges of its open shards. */
const history = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(), { maxLength: 12 }))
  .map(([initial, choices]) => {
    const stream = new Stream(initial);
    for (const choice of choices) stream.reshard(choice);
    return stream.shards;
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

describe('a group that works off a backlog while the stream changes', () => {
  const step = fc.record({
    act: fc.constantFrom(
      ...['reshard', 'reshard', 'sync', 'sync', 'read', 'finish', 'finish'],
      ...['clean', 'trim', 'trim', 'trim', 'end', 'lose'],
    ),
    pick: fc.nat(),
  });

  it.each([HORIZON, LATEST])('reads each shard once, after its parents, without a hole, from %o', (from) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), (initial, steps) => {
        const stream = new Stream(initial);
        let listed = [...stream.shards];
        const plan = () =>
          planLeases(listed, leases, from, NOW).map((lease) => ({ ...lease, stream: STREAM }));
        let leases: Lease[] = [];
        leases = plan();
        const atFirst = new Set(keys(leases));
        const read = new Set<string>();
        const done = new Set<string>();
        const put = (key: string, sequenceNumber: string) => {
          leases = leases.map((lease) =>
            lease.leaseKey === key
              ? { ...lease, checkpoint: { sequenceNumber, subSequenceNumber: 0 } }
              : lease,
          );
        };
        const act = (kind: string, pick: number): void => {
          const ready = startable(leases);
          const one = ready[pick % Math.max(1, ready.length)];
          const info = stream.shards.find((s) => s.shardId === one?.leaseKey);
          if (kind === 'reshard') {
            stream.reshard(pick);
            listed = [...listed, ...stream.shards.filter((s) => !listed.includes(s) && !trimmed.has(s))];
          } else if (kind === 'sync') leases = [...leases, ...plan()];
          else if (kind === 'read' && one) {
            for (const parent of info!.parentShardIds) {
              if (!lost.has(parent)) expect(done.has(parent) || !everLeased.has(parent)).toBe(true);
            }
            read.add(one.leaseKey);
            put(one.leaseKey, '49');
          } else if (kind === 'finish' && one && !info!.open) {
            act('read', pick);
            done.add(one.leaseKey);
            put(one.leaseKey, 'SHARD_END');
          } else if (kind === 'clean') {
            act('sync', 0); // rows go long after a listing, with its leases, said that they may
            const gone = new Set(removable(listed, leases));
            leases = leases.filter((lease) => !gone.has(lease));
          } else if (kind === 'trim') {
            // Retention takes the oldest, closed long ago, whether it was read or not.
            const oldest = listed.find((s) => !s.open);
            if (!oldest || listed.length < 3) return;
            trimmed.add(oldest);
            listed = listed.filter((s) => s !== oldest);
          } else if (kind === 'end') {
            const gone = findUnlisted(listed, leases, STREAM);
            expect(gone.unknown).toEqual([]);
            for (const { leaseKey } of gone.trimmed) {
              done.add(leaseKey);
              put(leaseKey, 'SHARD_END');
            }
          } else if (kind === 'lose' && pick % 4 === 0 && leases.length > 1) {
            const row = leases[pick % leases.length]!;
            lost.add(row.leaseKey);
            leases = leases.filter((lease) => lease !== row);
          }
          for (const lease of leases) everLeased.add(lease.leaseKey);
        };
        const trimmed = new Set<ShardInfo>();
        const lost = new Set<string>();
        const everLeased = new Set(leases.map((lease) => lease.leaseKey));
        for (const { act: kind, pick } of steps) {
          act(kind, pick);
          if (kind !== 'sync') continue;
          expect(findHoles(listed, leases)).toEqual([]);
          if (lost.size > 0) continue;
          for (const { leaseKey, checkpoint } of leases)
            if (!atFirst.has(leaseKey)) expect(checkpoint.sequenceNumber).not.toBe('LATEST');
          // The controller, the console and the CLI see the same left to do.
          const group = groupShards(listed, new Map(leases.map((lease) => [lease.leaseKey, lease])));
          const unread = listed.filter((s) => !done.has(s.shardId)).map((s) => s.shardId);
          expect(group.map((one) => one.shard.shardId)).toEqual(unread);
        }
        // Left alone, the group works everything off and comes to rest on the open shards.
        for (let round = 0; round < 40; round++) {
          act('sync', 0);
          act('end', 0);
          for (let n = startable(leases).length; n > 0; n--) act('finish', n);
        }
        for (const lease of startable(leases)) put(lease.leaseKey, '49');
        for (let round = 0; round < 40; round++) act('clean', 0);
        const open = stream.shards.filter((s) => s.open).map((s) => s.shardId);
        expect(keys(startable(leases))).toEqual([...open].sort());
        expect(keys(leases)).toEqual([...open].sort());
        expect(planLeases(listed, leases, from, NOW)).toEqual([]);
        expect(findHoles(listed, leases)).toEqual([]);
        // At LATEST, a group that lost a row may take itself for a new one there.
        if (from === LATEST && lost.size > 0) return;
        for (const s of stream.shards) if (!s.open && !trimmed.has(s)) expect(done).toContain(s.shardId);
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads the parent of a merge again whose row was lost, when it began at LATEST', () => {
    const shards = [shard(0, [], false), shard(1, [], false), shard(2, [0, 1])];
    const [first] = planLeases([shard(0), shard(1)], [], LATEST, NOW);
    expect(keys(planLeases(shards, [finished(first!)], LATEST, NOW))).toEqual(['s1']);
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
