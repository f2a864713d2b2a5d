import { setTimeout as sleep } from 'node:timers/promises';
import { SplitShardCommand } from '@aws-sdk/client-kinesis';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { systemClock as clock } from '../shared/clock.ts';
import { parseEnv } from '../shared/config.ts';
import { SHARD_END } from '../shared/kcl/position.ts';
import { listShards, listShardsAt, type ShardInfo } from '../shared/list-shards.ts';
import { createRegistry } from '../shared/metrics.ts';
import { Progress } from '../shared/progress.ts';
import { type KinesisDouble, startKinesisDouble } from '../testkit/kinesis-double/kinesis-double.ts';
import { streamActive } from '../testkit/provision.ts';
import { TestStack } from '../testkit/stack.ts';
import { consumerEnv } from './config.ts';
import { createReaders, type Readers } from './fetch/readers.ts';
import { DynamoDBLeaseStore, type LeaseStore } from './leases/lease-store.ts';
import { planLeases, readFrom } from './lineage/lineage.ts';
import { createConsumerMetrics } from './metrics.ts';
import type { OpenProcessor } from './shard-processor.ts';
import { Worker } from './worker.ts';
import { WorkerLoad } from './worker-load.ts';

/** Short, so that the tests are. */
const LEASE_MS = 2_000;
const HORIZON = { type: 'TRIM_HORIZON' } as const;

let double: KinesisDouble;
let stack: TestStack;
let store: DynamoDBLeaseStore;
let readers: Readers;
let group: Map<string, Worker>;
/** Texts of the records that were processed, in order, by shard. */
let processed: Map<string, string[]>;

beforeEach(async () => {
  double = await startKinesisDouble();
  stack = await TestStack.create(
    { kinesis: double.endpoint, dynamodb: inject('dynamodbEndpoint') },
    { shards: 4 },
  );
  store = new DynamoDBLeaseStore(stack.dynamodb, stack.resources.leaseTable);
  group = new Map();
  processed = new Map();
  const log = pino({ level: 'silent' });
  const metrics = createConsumerMetrics(createRegistry('test'));
  readers = createReaders(parseEnv(consumerEnv, stack.env), stack.kinesis, {
    clock,
    random: Math.random,
    log,
    metrics,
  });
});
afterEach(async () => {
  await Promise.allSettled(Array.from(group.values(), (worker) => worker.stop(100)));
  readers.close();
  await stack.close();
  await double.stop();
});

const record: OpenProcessor = ({ shardId }) => ({
  process: async (records) => {
    const texts = processed.get(shardId) ?? [];
    processed.set(shardId, texts);
    for (const { data } of records) texts.push(Buffer.from(data).toString());
  },
  flush: async () => {},
  close: () => {},
});

interface Options {
  /** Whether a poke reaches others. */
  pokes?: boolean;
  openProcessor?: OpenProcessor;
  list?: (shards: ShardInfo[]) => ShardInfo[] | Promise<ShardInfo[]>;
  leaseDurationMs?: number;
  checkpointIntervalMs?: number;
  random?: () => number;
  store?: LeaseStore;
}

function start(workerId: string, options: Options = {}) {
  const registry = createRegistry('test');
  const metrics = createConsumerMetrics(registry);
  const progress = new Progress(clock);
  const { stream } = stack.resources;
  const list = options.list ?? ((shards) => shards);
  const worker = new Worker({
    worker: { workerId, address: `${workerId}:9090` },
    store: options.store ?? store,
    listShards: async () => {
      const { shards, at } = await listShardsAt(stack.kinesis, stream);
      return { shards: await list(shards), at };
    },
    stream,
    startingPosition: HORIZON,
    leaseDurationMs: options.leaseDurationMs ?? LEASE_MS,
    shard: {
      createReader: ({ lease }) => readers.open(lease, readFrom(lease, HORIZON, clock.now())),
      openProcessor: options.openProcessor ?? record,
      checkpointIntervalMs: options.checkpointIntervalMs ?? 100,
      random: options.random ?? Math.random,
    },
    poke: async (address) =>
      options.pokes !== false && (group.get(address?.split(':')[0] ?? '')?.look() ?? false),
    progress,
    load: new WorkerLoad(clock, []),
    clock,
    log: pino({ level: 'silent' }),
    metrics,
  });
  group.set(workerId, worker);
  worker.start();
  const events = async (event: string) =>
    (await metrics.leaseEvents.get()).values.find(({ labels }) => labels.event === event)?.value;
  return { worker, progress, metrics, events };
}

/** While `now`, the lease table is out of reach. */
function severable(state: { now: boolean }): LeaseStore {
  return new Proxy(store, {
    get: (target, name: keyof LeaseStore) =>
      state.now
        ? () => Promise.reject(new Error('out of reach'))
        : (target[name] as (...args: unknown[]) => unknown).bind(target),
  });
}

/** The store with some of its methods replaced. */
function over(methods: Partial<LeaseStore>): LeaseStore {
  return new Proxy(store, {
    get: (target, name: keyof LeaseStore) =>
      methods[name] ?? (target[name] as (...args: unknown[]) => unknown).bind(target),
  });
}

const eventually = (check: () => unknown, timeout = 15_000) => vi.waitFor(check, { timeout, interval: 20 });
const owned = () => Object.fromEntries(Array.from(group, ([id, worker]) => [id, worker.shardIds.length]));

/** Puts `count` records, numbered by source, and waits until each source's are processed, each once and in order. */
async function putAndCheck(count: number): Promise<void> {
  const before = [...processed.values()].flat().length;
  const sources = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  await stack.put(
    Array.from({ length: count }, (_, n) => {
      const key = sources[n % sources.length]!;
      return { key, data: `${key} ${before + n}` };
    }),
  );
  await eventually(() => expect([...processed.values()].flat().length).toBe(before + count));
  for (const texts of processed.values()) {
    for (const source of sources) {
      const numbers = texts
        .filter((text) => text.startsWith(source))
        .map((text) => Number(text.split(' ')[1]));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
  }
}

describe('a group of workers', () => {
  it('shares the shards, hands them on directly at a stop, and loses and repeats nothing', async () => {
    const a = start('a');
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    start('b');
    await eventually(() => expect(owned()).toEqual({ a: 2, b: 2 }));
    expect(await a.events('handed-on')).toBe(2);
    start('c');
    await putAndCheck(80);
    await eventually(() => expect(Object.values(owned()).sort()).toEqual([1, 1, 2]));
    await sleep(LEASE_MS / 3); // each has seen the others renew

    const ownerless: unknown[] = [];
    const watching = new AbortController();
    const watch = (async () => {
      while (!watching.signal.aborted) {
        ownerless.push(...(await store.read()).leases.filter((lease) => lease.leaseOwner === undefined));
      }
    })();
    const given = await a.events('handed-on');
    const left = a.worker.shardIds.length;
    await a.worker.stop(10_000);
    group.delete('a');
    await eventually(() => expect(owned()).toEqual({ b: 2, c: 2 }));
    watching.abort();
    await watch;
    expect(await a.events('handed-on')).toBe(given! + left);
    expect(ownerless).toEqual([]);
    await putAndCheck(80);
    expect((await store.read()).idle).toEqual([]);
  });

  it('gives a worker that holds nothing its share, also when nobody can be poked', async () => {
    const a = start('a', { pokes: false });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    for (const id of ['b', 'c', 'd', 'e']) start(id, { pokes: false });
    await eventually(() => expect(Object.values(owned()).sort()).toEqual([0, 1, 1, 1, 1]));
    await putAndCheck(40);
    const idle = (await store.read()).idle.map(({ workerId }) => workerId);
    expect(idle).toEqual(Object.keys(owned()).filter((id) => owned()[id] === 0));
    expect(group.get(idle[0]!)!.ready).toBe(true);
    expect(group.get(idle[0]!)!.workersSeen).toBe(5);
    await sleep(LEASE_MS / 3);
    await a.worker.stop(10_000);
    group.delete('a');
    await eventually(() => expect(Object.values(owned())).toEqual([1, 1, 1, 1]));
    await putAndCheck(40);
  });

  it('takes a lease back that it gave to a worker that had just died, and forgets that worker', async () => {
    const leaseDurationMs = 600;
    const a = start('a', { leaseDurationMs });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    for (let i = 0; i < 3; i++) {
      await store.announce({ workerId: 'ghost', address: 'ghost:9090', seenAt: Date.now(), leaving: false });
      await sleep(150);
    }
    await eventually(async () => expect(await a.events('handed-on')).toBeGreaterThan(0));
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    await putAndCheck(40);
    await eventually(async () => expect((await store.read()).idle).toEqual([]));
  });

  it('goes on after a worker that vanished without a word', async () => {
    const severed = { now: false };
    start('a', { leaseDurationMs: 600, store: severable(severed) });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    const dead = group.get('a')!;
    group.delete('a');
    severed.now = true;
    start('b', { leaseDurationMs: 600 });
    await eventually(() => expect(owned()).toEqual({ b: 4 }));
    await eventually(() => expect(dead.shardIds).toEqual([]));
    severed.now = false;
    await dead.stop(1_000);
    await eventually(() => expect(owned()).toEqual({ b: 4 }));
    await putAndCheck(40);
  });
});

describe('a worker', () => {
  const split = async (shardId: string, NewStartingHashKey: bigint) => {
    await stack.kinesis.send(
      new SplitShardCommand({
        StreamName: stack.resources.stream,
        ShardToSplit: shardId,
        NewStartingHashKey: String(NewStartingHashKey),
      }),
    );
    await streamActive(stack.kinesis, stack.resources.stream);
  };

  it('reads the children of a split shard, and those of one that retention removed before it was read', async () => {
    const gone = 'shardId-000000000003';
    let hidden: string | undefined;
    const openProcessor: OpenProcessor = (held) =>
      held.shardId === gone
        ? {
            ...record(held),
            process: () => Promise.reject(new Error('never')),
            flush: () => Promise.reject(new Error('failed before')),
          }
        : record(held);
    const list = (shards: ShardInfo[]) => shards.filter(({ shardId }) => shardId !== hidden);
    const { events, metrics } = start('a', { list, openProcessor });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    await stack.put(Array.from({ length: 64 }, (_, n) => ({ key: `key-${n}`, data: 'x' })));
    await split(gone, 2n ** 127n + 2n ** 126n + 2n ** 125n);
    hidden = gone;
    // A listing comes with the end of another shard; it must be missing in two.
    await split('shardId-000000000000', 2n ** 125n);
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    expect(await events('trimmed')).toBe(0);
    await split('shardId-000000000001', 2n ** 126n + 2n ** 125n);
    await eventually(async () => expect(await events('trimmed')).toBe(1));
    await eventually(() =>
      expect(group.get('a')!.shardIds.sort()).toEqual(
        [2, 4, 5, 6, 7, 8, 9].map((n) => `shardId-00000000000${n}`),
      ),
    );
    expect((await metrics.hashRangeHoles.get()).values[0]?.value).toBe(0);
  });

  it('works off what it has read of a shard when retention removes the shard meanwhile', async () => {
    const gone = 'shardId-000000000000'; // where 'key' belongs
    const texts = Array.from({ length: 300 }, (_, n) => String(n));
    await stack.put(texts.map((data) => ({ key: 'key', data })));
    await split(gone, 2n ** 125n);
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
      const { process, ...rest } = record(held);
      return {
        ...rest,
        process: async (...args) => {
          if (held.shardId === gone) await outage;
          await process(...args);
        },
      };
    };
    const { events } = start('a', { list, openProcessor });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    await sleep(500); // it reads ahead to the end of the shard
    hidden = gone;
    await split('shardId-000000000001', 2n ** 126n + 2n ** 125n);
    await eventually(() => expect(without).toBe(1));
    await split('shardId-000000000002', 2n ** 127n + 2n ** 125n);
    await eventually(() => expect(without).toBe(2));
    await sleep(200);
    recover();
    await eventually(async () => expect(await events('shard-end')).toBe(3));
    expect(processed.get(gone)).toEqual(texts);
    expect(await events('trimmed')).toBe(0);
  });

  it('reads on behind shards of which retention removed two generations before they were read', async () => {
    const gone = ['shardId-000000000003', 'shardId-000000000004', 'shardId-000000000005'];
    let hidden: string[] = [];
    const openProcessor: OpenProcessor = (held) =>
      gone.includes(held.shardId)
        ? { ...record(held), process: () => Promise.reject(new Error('never')) }
        : record(held);
    const list = (shards: ShardInfo[]) => shards.filter(({ shardId }) => !hidden.includes(shardId));
    const { events } = start('a', { list, openProcessor });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    await stack.put(Array.from({ length: 64 }, (_, n) => ({ key: `key-${n}`, data: 'x' })));
    await split(gone[0]!, 2n ** 127n + 2n ** 126n + 2n ** 125n);
    hidden = gone;
    await split(gone[1]!, 2n ** 127n + 2n ** 126n + 2n ** 124n);
    await split(gone[2]!, 2n ** 127n + 2n ** 126n + 2n ** 125n + 2n ** 124n);
    // A listing comes with the end of another shard; they must be missing in two.
    await split('shardId-000000000000', 2n ** 125n);
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    await split('shardId-000000000001', 2n ** 126n + 2n ** 125n);
    await eventually(async () => expect(await events('trimmed')).toBe(1));
    await eventually(() => expect(owned()).toEqual({ a: 9 }));
    expect(group.get('a')!.shardIds.filter((id) => gone.includes(id))).toEqual([]);
  });

  it('takes its shards although a listing of them takes longer than a lease', async () => {
    const list = async (shards: ShardInfo[]) => {
      await sleep(600);
      return shards;
    };
    start('a', { list, leaseDurationMs: 500 });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
  });

  it.each<[string, () => Promise<never>]>([
    ['fails', () => Promise.reject(new Error('no such action for you'))],
    ['hangs', () => new Promise(() => {})],
  ])('takes leases over by the table alone while each listing of the shards %s', async (_, listing) => {
    const down = { now: false };
    const list = (shards: ShardInfo[]) => (down.now ? listing() : shards);
    const a = start('a', { list });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    down.now = true;
    start('b', { list });
    await eventually(() => expect(owned()).toEqual({ a: 2, b: 2 }));
    await a.worker.stop(5_000);
    group.delete('a');
    await eventually(() => expect(owned()).toEqual({ b: 4 }), 3_000);
    down.now = false;
    await putAndCheck(16);
  });

  it('hands its leases over although a listing of the shards hangs', async () => {
    const hang = { now: false, times: 0 };
    const list = (shards: ShardInfo[]) => {
      if (!hang.now) return shards;
      hang.times++;
      return new Promise<never>(() => {});
    };
    const { worker, events } = start('a', { list });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    hang.now = true;
    await split('shardId-000000000000', 2n ** 125n);
    // The regular listing may be the one that hangs, before the shard has ended.
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    await eventually(() => expect(hang.times).toBe(1));
    await worker.stop(60_000);
    expect(await events('released')).toBe(3);
  });

  it('gets on although its work fails again and again before a checkpoint is due', async () => {
    const texts = Array.from({ length: 400 }, (_, n) => String(n));
    await stack.put(texts.map((data) => ({ key: 'key', data })));
    const openProcessor: OpenProcessor = (held) => {
      let slices = 0;
      const { process, ...rest } = record(held);
      return {
        ...rest,
        process: (...args) => (slices++ < 2 ? process(...args) : Promise.reject(new Error('again'))),
      };
    };
    start('a', { openProcessor, checkpointIntervalMs: 60_000 });
    await eventually(() => expect(new Set([...processed.values()].flat())).toEqual(new Set(texts)));
  });

  it('writes the end of a shard until it has an answer, and nothing of the shard again', async () => {
    const ended = 'shardId-000000000000'; // where 'key' belongs
    const texts = Array.from({ length: 400 }, (_, n) => String(n));
    await stack.put(texts.map((data) => ({ key: 'key', data })));
    await split(ended, 2n ** 125n);
    const checkpoints: string[] = [];
    const deaf: Pick<LeaseStore, 'update'> = {
      update: async (held, write) => {
        const lease = await store.update(held, write);
        if (held.leaseKey !== ended || !write.checkpoint) return lease;
        checkpoints.push(write.checkpoint.sequenceNumber);
        if (checkpoints.filter((text) => text === 'SHARD_END').length % 4 === 0) return lease;
        throw new Error('no answer');
      },
    };
    const { events } = start('a', { store: over(deaf), checkpointIntervalMs: 0 });
    await eventually(async () => expect(await events('shard-end')).toBe(1));
    expect(processed.get(ended)).toEqual(texts);
    const fromEnd = checkpoints.slice(checkpoints.indexOf('SHARD_END'));
    expect(fromEnd).toEqual(['SHARD_END', 'SHARD_END', 'SHARD_END', 'SHARD_END']);
  });

  it('reads the children of a shard whose reader died when it had written its end and nothing more', async () => {
    const [first] = await listShards(stack.kinesis, stack.resources.stream);
    const lease = planLeases([first!], [], HORIZON, 0)[0]!;
    await store.create(lease);
    const dead = (await store.take(lease, { workerId: 'dead', address: undefined }))!;
    start('a', { leaseDurationMs: 60_000 });
    await eventually(() => expect(owned()).toEqual({ a: 3 }));
    await split(first!.shardId, 2n ** 125n);
    await store.update(dead, {
      checkpoint: SHARD_END,
      childShardIds: ['shardId-000000000004', 'shardId-000000000005'],
    });
    await eventually(() => expect(owned()).toEqual({ a: 5 }));
  });

  it('starts over ever more seldom while results are stored and states are not', async () => {
    await stack.put([{ key: 'key', data: '1' }]);
    const startedAt: number[] = [];
    const openProcessor: OpenProcessor = () => ({
      process: async () => void startedAt.push(performance.now()),
      flush: () => Promise.reject(new Error('forbidden')),
      close: () => {},
    });
    start('a', { openProcessor, random: () => 0.99 });
    await eventually(() => expect(startedAt.length).toBeGreaterThan(2));
    const [first = 0, second = 0, third = 0] = startedAt;
    expect(second - first).toBeGreaterThan(490);
    expect(third - second).toBeGreaterThan(980);
  });

  it('shows a loop that is stuck, and only that one', async () => {
    const stuck = 'shardId-000000000002';
    const openProcessor: OpenProcessor = (held) => ({
      ...record(held),
      process: (_, signal) =>
        held.shardId === stuck
          ? new Promise((_resolve, reject) =>
              signal.addEventListener('abort', () => reject(new Error('gone'))),
            )
          : Promise.resolve(),
    });
    const { progress, metrics } = start('a', { openProcessor });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    await stack.put(Array.from({ length: 64 }, (_, n) => ({ key: `key-${n}`, data: 'x' })));
    await eventually(() => expect(Object.keys(progress.stalled(1_500))).toEqual([`shard ${stuck}`]));
    const lag = (await metrics.millisBehindLatest.get()).values;
    expect(lag.find(({ labels }) => labels.shard === stuck)?.value).toBeGreaterThan(1_000);
    expect(lag).toHaveLength(4);
  });

  it('looks at the table when it is poked, but a flood of pokes costs no flood of reads', async () => {
    let reads = 0;
    const read = store.read.bind(store);
    store.read = () => {
      reads++;
      return read();
    };
    const { worker } = start('a');
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
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
    start('a', { leaseDurationMs: 900 });
    await eventually(() => expect(owned()).toEqual({ a: 4 }));
    await putAndCheck(64);
    await eventually(async () => {
      const { leases } = await store.read();
      expect(leases.every(({ report, workerAddress }) => report && workerAddress === 'a:9090')).toBe(true);
      expect(leases.some(({ report }) => (report?.lastArrivalAt ?? 0) > Date.now() - 60_000)).toBe(true);
    });
    const startedAt = performance.now();
    const before = (await store.read()).leases;
    for (const { report } of before) {
      expect(report?.millisBehindLatest).toBeGreaterThanOrEqual(0);
      expect(report?.busyShare).toBeLessThanOrEqual(1);
      expect(report?.workerUtilization).toBeGreaterThan(0);
    }
    await sleep(900);
    const after = (await store.read()).leases;
    // Renewed each 300 ms, and nothing else is written.
    const renewals = (performance.now() - startedAt) / 300 + 1;
    after.forEach(({ leaseCounter }, i) => {
      expect(leaseCounter - before[i]!.leaseCounter).toBeLessThanOrEqual(renewals);
    });
  });
});
