import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SHARD_END } from '../shared/kcl/position.ts';
import { listShards, type ShardInfo } from '../shared/list-shards.ts';
import { eventually, HORIZON, ownGroup } from './fixtures.ts';
import type { LeaseStore } from './leases/lease-store.ts';
import { planLeases } from './lineage/lineage.ts';
import type { OpenProcessor } from './shard-processor.ts';

const own = ownGroup();

describe('the shards of a worker', () => {
  it('reads the children of a split shard, and those of one that retention removed before it was read', async () => {
    const gone = 'shardId-000000000003';
    let hidden: string | undefined;
    const openProcessor: OpenProcessor = (held) =>
      held.shardId === gone
        ? {
            ...own.group.record(held),
            process: () => Promise.reject(new Error('never')),
            flush: () => Promise.reject(new Error('failed before')),
          }
        : own.group.record(held);
    let without = 0;
    const list = (shards: ShardInfo[]) => {
      if (hidden !== undefined) without++;
      return shards.filter(({ shardId }) => shardId !== hidden);
    };
    const { events, metrics } = own.group.start('a', { list, openProcessor });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    await own.group.stack.put(Array.from({ length: 64 }, (_, n) => ({ key: `key-${n}`, data: 'x' })));
    await own.group.split(gone, 2n ** 127n + 2n ** 126n + 2n ** 125n);
    hidden = gone;
    // A listing comes with the end of another shard; it must be missing in two.
    await own.group.split('shardId-000000000000', 2n ** 125n);
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    await eventually(() => expect(without).toBeGreaterThan(0)); // two ends before it would be told by one listing
    expect(await events('trimmed')).toBe(0);
    await own.group.split('shardId-000000000001', 2n ** 126n + 2n ** 125n);
    await eventually(async () => expect(await events('trimmed')).toBe(1));
    await eventually(() =>
      expect(own.group.workers.get('a')!.shardIds.sort()).toEqual(
        [2, 4, 5, 6, 7, 8, 9].map((n) => `shardId-00000000000${n}`),
      ),
    );
    expect((await metrics.hashRangeHoles.get()).values[0]?.value).toBe(0);
  });

  it('works off what it has read of a shard when retention removes the shard meanwhile', async () => {
    const gone = 'shardId-000000000000'; // where 'key' belongs
    const texts = Array.from({ length: 300 }, (_, n) => String(n));
    await own.group.stack.put(texts.map((data) => ({ key: 'key', data })));
    await own.group.split(gone, 2n ** 125n);
    let without = 0;
    let hidden: string | undefined;
    const list = (shards: ShardInfo[]) => {
      if (hidden !== undefined) without++;
      return shards.filter(({ shardId }) => shardId !== hidden);
    };
    let recover = () => {};
    const outage = new Promise<void>((resolve) => {
      recover = resolve;
    });
    const openProcessor: OpenProcessor = (held) => {
      const { process, ...rest } = own.group.record(held);
      return {
        ...rest,
        process: async (...args) => {
          if (held.shardId === gone) await outage;
          await process(...args);
        },
      };
    };
    const { events } = own.group.start('a', { list, openProcessor });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    await sleep(500); // it reads ahead to the end of the shard
    hidden = gone;
    await own.group.split('shardId-000000000001', 2n ** 126n + 2n ** 125n);
    await eventually(() => expect(without).toBe(1));
    await own.group.split('shardId-000000000002', 2n ** 127n + 2n ** 125n);
    await eventually(() => expect(without).toBe(2));
    await sleep(200);
    recover();
    await eventually(async () => expect(await events('shard-end')).toBe(3));
    expect(own.group.processed.get(gone)).toEqual(texts);
    expect(await events('trimmed')).toBe(0);
  });

  it('reads on behind shards of which retention removed two generations before they were read', async () => {
    const gone = ['shardId-000000000003', 'shardId-000000000004', 'shardId-000000000005'];
    let hidden: string[] = [];
    const openProcessor: OpenProcessor = (held) =>
      gone.includes(held.shardId)
        ? { ...own.group.record(held), process: () => Promise.reject(new Error('never')) }
        : own.group.record(held);
    const list = (shards: ShardInfo[]) => shards.filter(({ shardId }) => !hidden.includes(shardId));
    const { events } = own.group.start('a', { list, openProcessor });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 4 }));
    await own.group.stack.put(Array.from({ length: 64 }, (_, n) => ({ key: `key-${n}`, data: 'x' })));
    await own.group.split(gone[0]!, 2n ** 127n + 2n ** 126n + 2n ** 125n);
    hidden = gone;
    await own.group.split(gone[1]!, 2n ** 127n + 2n ** 126n + 2n ** 124n);
    await own.group.split(gone[2]!, 2n ** 127n + 2n ** 126n + 2n ** 125n + 2n ** 124n);
    // A listing comes with the end of another shard; they must be missing in two.
    await own.group.split('shardId-000000000000', 2n ** 125n);
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    await own.group.split('shardId-000000000001', 2n ** 126n + 2n ** 125n);
    await eventually(async () => expect(await events('trimmed')).toBe(1));
    await eventually(() => expect(own.group.owned()).toEqual({ a: 9 }));
    expect(own.group.workers.get('a')!.shardIds.filter((id) => gone.includes(id))).toEqual([]);
  });
  it('writes the end of a shard until it has an answer, and nothing of the shard again', async () => {
    const ended = 'shardId-000000000000'; // where 'key' belongs
    const texts = Array.from({ length: 400 }, (_, n) => String(n));
    await own.group.stack.put(texts.map((data) => ({ key: 'key', data })));
    await own.group.split(ended, 2n ** 125n);
    const checkpoints: string[] = [];
    const deaf: Pick<LeaseStore, 'update'> = {
      update: async (held, write) => {
        const lease = await own.group.store.update(held, write);
        if (held.leaseKey !== ended || !write.checkpoint) return lease;
        checkpoints.push(write.checkpoint.sequenceNumber);
        if (checkpoints.filter((text) => text === 'SHARD_END').length % 4 === 0) return lease;
        throw new Error('no answer');
      },
    };
    const { events } = own.group.start('a', { store: own.group.over(deaf), checkpointIntervalMs: 0 });
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    expect(own.group.processed.get(ended)).toEqual(texts);
    const fromEnd = checkpoints.slice(checkpoints.indexOf('SHARD_END'));
    expect(fromEnd).toEqual(['SHARD_END', 'SHARD_END', 'SHARD_END', 'SHARD_END']);
  });

  it('reads the children of a shard whose reader died when it had written its end and nothing more', async () => {
    const [first] = await listShards(own.group.stack.kinesis, own.group.stack.resources.stream);
    const lease = planLeases([first!], [], HORIZON, 0)[0]!;
    await own.group.store.create(lease);
    const dead = (await own.group.store.take(lease, { workerId: 'dead', address: undefined }))!;
    own.group.start('a', { leaseDurationMs: 60_000 });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 3 }));
    await own.group.split(first!.shardId, 2n ** 125n);
    await own.group.store.update(dead, {
      checkpoint: SHARD_END,
      childShardIds: ['shardId-000000000004', 'shardId-000000000005'],
    });
    await eventually(() => expect(own.group.owned()).toEqual({ a: 5 }));
  });
});
