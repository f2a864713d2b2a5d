import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ShardInfo } from '../shared/list-shards.ts';
import { eventually, ownGroup } from './fixtures.ts';
import type { OpenProcessor } from './shard-processor.ts';

const own = ownGroup();

describe('a worker', () => {
  it('takes its shards although a listing of them takes longer than a lease', async () => {
    const list = async (shards: ShardInfo[]) => {
      await sleep(600);
      return shards;
    };
    own.group.start('a', { list, leaseDurationMs: 500 });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
  });

  it.each<[string, () => Promise<never>]>([
    ['fails', () => Promise.reject(new Error('no such action for you'))],
    ['hangs', () => new Promise(() => {})],
  ])('takes leases over by the table alone while each listing of the shards %s', async (_, listing) => {
    const down = { now: false };
    const list = (shards: ShardInfo[]) => (down.now ? listing() : shards);
    const a = own.group.start('a', { list });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    down.now = true;
    own.group.start('b', { list });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 2, b: 2 }));
    await a.worker.stop(5_000);
    own.group.workers.delete('a');
    await eventually(() => expect(own.group.owned()).toEqual({ b: 4 }), 3_000);
    down.now = false;
    await own.group.putAndCheck(16);
  });

  it('is not ready where there are no leases and it can list no shards, and says so', async () => {
    const down = { now: true };
    const list = (shards: ShardInfo[]) =>
      down.now ? Promise.reject<ShardInfo[]>(new Error('no such stream')) : shards;
    const { worker, metrics } = own.group.start('a', { list, random: () => 0 });
    const failures = async () => (await metrics.listingFailures.get()).values[0]?.value;
    await eventually(async () => expect(await failures()).toBeGreaterThan(1));
    expect([worker.workersSeen, worker.ready]).toEqual([1, false]);
    down.now = false;
    await eventually(() => expect(worker.ready).toBe(true));
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
  });

  it('hands its leases over although a listing of the shards hangs', async () => {
    const hang = { now: false, times: 0 };
    const list = (shards: ShardInfo[]) => {
      if (!hang.now) return shards;
      hang.times++;
      return new Promise<never>(() => {});
    };
    const { worker, events } = own.group.start('a', { list });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    hang.now = true;
    await own.group.split('shardId-000000000000', 2n ** 125n);
    // The regular listing may be the one that hangs, before the shard has ended.
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    await eventually(() => expect(hang.times).toBe(1));
    await worker.stop(60_000);
    expect(await events('released')).toBe(3);
  });

  it('gets on although its work fails again and again before a checkpoint is due', async () => {
    const texts = Array.from({ length: 400 }, (_, n) => String(n));
    await own.group.stack.put(texts.map((data) => ({ key: 'key', data })));
    const openProcessor: OpenProcessor = (held) => {
      let slices = 0;
      const { process, ...rest } = own.group.record(held);
      return {
        ...rest,
        process: (...args) => (slices++ < 2 ? process(...args) : Promise.reject(new Error('again'))),
      };
    };
    own.group.start('a', { openProcessor, checkpointIntervalMs: 60_000 });
    await eventually(() => expect(new Set([...own.group.processed.values()].flat())).toEqual(new Set(texts)));
  });

  it('starts over ever more seldom while results are stored and states are not', async () => {
    await own.group.stack.put([{ key: 'key', data: '1' }]);
    const startedAt: number[] = [];
    const openProcessor: OpenProcessor = () => ({
      process: async () => void startedAt.push(performance.now()),
      flush: () => Promise.reject(new Error('forbidden')),
      close: () => {},
    });
    own.group.start('a', { openProcessor, random: () => 0.99 });
    await eventually(() => expect(startedAt.length).toBeGreaterThan(2));
    const [first = 0, second = 0, third = 0] = startedAt;
    expect(second - first).toBeGreaterThan(490);
    expect(third - second).toBeGreaterThan(980);
  });

  it('shows a loop that is stuck, and only that one', async () => {
    const stuck = 'shardId-000000000002';
    const openProcessor: OpenProcessor = (held) => ({
      ...own.group.record(held),
      process: (_, signal) =>
        held.shardId === stuck
          ? new Promise((_resolve, reject) =>
              signal.addEventListener('abort', () => reject(new Error('gone'))),
            )
          : Promise.resolve(),
    });
    const { progress, metrics } = own.group.start('a', { openProcessor });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    await own.group.stack.put(Array.from({ length: 64 }, (_, n) => ({ key: `key-${n}`, data: 'x' })));
    await eventually(() => expect(Object.keys(progress.stalled(1_500))).toEqual([`shard ${stuck}`]));
    const lag = (await metrics.millisBehindLatest.get()).values;
    expect(lag.find(({ labels }) => labels.shard === stuck)?.value).toBeGreaterThan(1_000);
    expect(lag).toHaveLength(4);
  });

  it('looks at the table when it is poked, but a flood of pokes costs no flood of reads', async () => {
    let reads = 0;
    const read = own.group.store.read.bind(own.group.store);
    own.group.store.read = () => {
      reads++;
      return read();
    };
    const { worker } = own.group.start('a');
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    const before = reads;
    const startedAt = performance.now();
    let elapsed = 0;
    for (; elapsed < 1_000; elapsed = performance.now() - startedAt) {
      expect(worker.look()).toBe(true);
      await sleep(1);
    }
    expect(reads - before).toBeGreaterThan(1);
    expect(reads - before).toBeLessThanOrEqual(elapsed / 50 + 1);
  });

  it('writes how the work goes into its lease rows, with no write more than the renewals', async () => {
    own.group.start('a', { leaseDurationMs: 900 });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    await own.group.putAndCheck(64);
    await eventually(async () => {
      const { leases } = await own.group.store.read();
      expect(leases.every(({ report, workerAddress }) => report && workerAddress === 'a:9090')).toBe(true);
      expect(leases.some(({ report }) => (report?.lastArrivalAt ?? 0) > Date.now() - 60_000)).toBe(true);
    });
    const startedAt = performance.now();
    const before = (await own.group.store.read()).leases;
    for (const { report } of before) {
      expect(report?.millisBehindLatest).toBeGreaterThanOrEqual(0);
      expect(report?.busyShare).toBeLessThanOrEqual(1);
      expect(report?.workerUtilization).toBeGreaterThan(0);
    }
    await sleep(900);
    const after = (await own.group.store.read()).leases;
    // Renewed each 300 ms, and nothing else is written.
    const renewals = (performance.now() - startedAt) / 300 + 1;
    after.forEach(({ leaseCounter }, i) => {
      expect(leaseCounter - before[i]!.leaseCounter).toBeLessThanOrEqual(renewals);
    });
  });
});
