import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually, LEASE_MS, ownGroup } from './fixtures.ts';

const own = ownGroup();

describe('a group of workers', () => {
  it('shares the shards, hands them on directly at a stop, and loses and repeats nothing', async () => {
    const a = own.group.start('a');
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    own.group.start('b');
    await eventually(() => expect(own.group.owned()).toEqual({ a: 2, b: 2 }));
    expect(await a.events('handed-on')).toBe(2);
    own.group.start('c');
    await own.group.putAndCheck(80);
    await eventually(() => expect(Object.values(own.group.owned()).sort()).toEqual([1, 1, 2]));
    await sleep(LEASE_MS / 3); // each has seen the others renew

    const ownerless: unknown[] = [];
    const watching = new AbortController();
    const watch = (async () => {
      while (!watching.signal.aborted) {
        ownerless.push(
          ...(await own.group.store.read()).leases.filter((lease) => lease.leaseOwner === undefined),
        );
      }
    })();
    const given = await a.events('handed-on');
    const left = a.worker.shardIds.length;
    await a.worker.stop(10_000);
    own.group.workers.delete('a');
    await eventually(() => expect(own.group.owned()).toEqual({ b: 2, c: 2 }));
    watching.abort();
    await watch;
    expect(await a.events('handed-on')).toBe(given! + left);
    expect(ownerless).toEqual([]);
    await own.group.putAndCheck(80);
    expect((await own.group.store.read()).idle).toEqual([]);
  });

  it('gives a worker that holds nothing its share, also when nobody can be poked', async () => {
    const a = own.group.start('a', { pokes: false });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    for (const id of ['b', 'c', 'd', 'e']) own.group.start(id, { pokes: false });
    await eventually(() => expect(Object.values(own.group.owned()).sort()).toEqual([0, 1, 1, 1, 1]));
    await own.group.putAndCheck(40);
    const idle = (await own.group.store.read()).idle.map(({ workerId }) => workerId);
    expect(idle).toEqual(Object.keys(own.group.owned()).filter((id) => own.group.owned()[id] === 0));
    expect(own.group.workers.get(idle[0]!)!.ready).toBe(true);
    expect(own.group.workers.get(idle[0]!)!.workersSeen).toBe(5);
    await sleep(LEASE_MS / 3);
    await a.worker.stop(10_000);
    own.group.workers.delete('a');
    await eventually(() => expect(Object.values(own.group.owned())).toEqual([1, 1, 1, 1]));
    await own.group.putAndCheck(40);
  });

  it('takes a lease back that it gave to a worker that had just died, and forgets that worker', async () => {
    const leaseDurationMs = 600;
    const a = own.group.start('a', { leaseDurationMs });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    for (let i = 0; i < 3; i++) {
      await own.group.store.announce({
        workerId: 'ghost',
        address: 'ghost:9090',
        seenAt: Date.now(),
        leaving: false,
      });
      await sleep(150);
    }
    await eventually(async () => expect(await a.events('handed-on')).toBeGreaterThan(0));
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    await own.group.putAndCheck(40);
    await eventually(async () => expect((await own.group.store.read()).idle).toEqual([]));
  });

  it('goes on after a worker that vanished without a word', async () => {
    const severed = { now: false };
    own.group.start('a', { leaseDurationMs: 600, store: own.group.severable(severed) });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    const dead = own.group.workers.get('a')!;
    own.group.workers.delete('a');
    severed.now = true;
    own.group.start('b', { leaseDurationMs: 600 });
    await eventually(() => expect(own.group.owned()).toEqual({ b: 4 }));
    await eventually(() => expect(dead.shardIds).toEqual([]));
    severed.now = false;
    await dead.stop(1_000);
    await eventually(() => expect(own.group.owned()).toEqual({ b: 4 }));
    await own.group.putAndCheck(40);
  });
});
