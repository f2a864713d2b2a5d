import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupShards } from '../../shared/kcl/group-shards.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { findHoles } from './coverage.ts';
import { finished, HORIZON, keys, LATEST, NOW, STREAM, Stream, shard } from './fixtures.ts';
import { findUnlisted, planLeases, removable, startable } from './lineage.ts';

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
