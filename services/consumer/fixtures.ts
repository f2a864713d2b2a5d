import { SplitShardCommand } from '@aws-sdk/client-kinesis';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, inject, vi } from 'vitest';
import { systemClock as clock } from '../shared/clock.ts';
import { parseEnv } from '../shared/config.ts';
import { listShardsAt, type ShardInfo } from '../shared/list-shards.ts';
import { createRegistry } from '../shared/metrics.ts';
import { Progress } from '../shared/progress.ts';
import { type KinesisDouble, startKinesisDouble } from '../testkit/kinesis-double/kinesis-double.ts';
import { streamActive } from '../testkit/provision.ts';
import { TestStack } from '../testkit/stack.ts';
import { consumerEnv } from './config.ts';
import { createReaders, type Readers } from './fetch/readers.ts';
import { DynamoDBLeaseStore, type LeaseStore } from './leases/lease-store.ts';
import { readFrom } from './lineage/lineage.ts';
import { createConsumerMetrics } from './metrics.ts';
import type { OpenProcessor } from './shard-processor.ts';
import { Worker } from './worker.ts';
import { WorkerLoad } from './worker-load.ts';

/** Short, so that the tests are. */
export const LEASE_MS = 2_000;
export const HORIZON = { type: 'TRIM_HORIZON' } as const;

interface WorkerOptions {
  /** Whether a poke reaches others. */
  pokes?: boolean;
  openProcessor?: OpenProcessor;
  list?: (shards: ShardInfo[]) => ShardInfo[] | Promise<ShardInfo[]>;
  leaseDurationMs?: number;
  checkpointIntervalMs?: number;
  random?: () => number;
  store?: LeaseStore;
}

/** Tries something again until it holds. */
export const eventually = (check: () => unknown, timeout = 15_000) =>
  vi.waitFor(check, { timeout, interval: 20 });

/** A group of workers on a stream of four shards, which a test starts. */
export class TestGroup {
  readonly double: KinesisDouble;
  readonly stack: TestStack;
  readonly store: DynamoDBLeaseStore;
  readonly workers = new Map<string, Worker>();
  /** Texts of the records that were processed, in order, by shard. */
  readonly processed = new Map<string, string[]>();
  readonly #readers: Readers;

  private constructor(double: KinesisDouble, stack: TestStack) {
    this.double = double;
    this.stack = stack;
    this.store = new DynamoDBLeaseStore(stack.dynamodb, stack.resources.leaseTable);
    this.#readers = createReaders(parseEnv(consumerEnv, stack.env), stack.kinesis, {
      clock,
      random: Math.random,
      log: pino({ level: 'silent' }),
      metrics: createConsumerMetrics(createRegistry('test')),
    });
  }

  static async create(): Promise<TestGroup> {
    const double = await startKinesisDouble();
    const stack = await TestStack.create(
      { kinesis: double.endpoint, dynamodb: inject('dynamodbEndpoint') },
      { shards: 4 },
    );
    return new TestGroup(double, stack);
  }

  async close(): Promise<void> {
    await Promise.allSettled(Array.from(this.workers.values(), (worker) => worker.stop(100)));
    this.#readers.close();
    await this.stack.close();
    await this.double.stop();
  }

  /** Takes the texts of records down. */
  readonly record: OpenProcessor = ({ shardId }) => ({
    process: async (records) => {
      const texts = this.processed.get(shardId) ?? [];
      this.processed.set(shardId, texts);
      for (const { data } of records) texts.push(Buffer.from(data).toString());
    },
    flush: async () => {},
    close: () => {},
  });

  start(workerId: string, options: WorkerOptions = {}) {
    const registry = createRegistry('test');
    const metrics = createConsumerMetrics(registry);
    const progress = new Progress(clock);
    const { kinesis, resources } = this.stack;
    const list = options.list ?? ((shards) => shards);
    const worker = new Worker({
      worker: { workerId, address: `${workerId}:9090` },
      store: options.store ?? this.store,
      listShards: async () => {
        const { shards, at } = await listShardsAt(kinesis, resources.stream);
        return { shards: await list(shards), at };
      },
      stream: resources.stream,
      startingPosition: HORIZON,
      leaseDurationMs: options.leaseDurationMs ?? LEASE_MS,
      shard: {
        createReader: ({ lease }) => this.#readers.open(lease, readFrom(lease, HORIZON, clock.now())),
        openProcessor: options.openProcessor ?? this.record,
        checkpointIntervalMs: options.checkpointIntervalMs ?? 100,
        random: options.random ?? Math.random,
      },
      poke: async (address) =>
        options.pokes !== false && (this.workers.get(address?.split(':')[0] ?? '')?.look() ?? false),
      progress,
      load: new WorkerLoad(clock, []),
      clock,
      log: pino({ level: 'silent' }),
      metrics,
    });
    this.workers.set(workerId, worker);
    worker.start();
    const events = async (event: string) =>
      (await metrics.leaseEvents.get()).values.find(({ labels }) => labels.event === event)?.value;
    return { worker, progress, metrics, events };
  }

  /** How many shards each worker holds. */
  owned(): Record<string, number> {
    return Object.fromEntries(Array.from(this.workers, ([id, worker]) => [id, worker.shardIds.length]));
  }

  async split(shardId: string, newStartingHashKey: bigint): Promise<void> {
    const { kinesis, resources } = this.stack;
    await kinesis.send(
      new SplitShardCommand({
        StreamName: resources.stream,
        ShardToSplit: shardId,
        NewStartingHashKey: String(newStartingHashKey),
      }),
    );
    await streamActive(kinesis, resources.stream);
  }

  /** The store with some of its methods replaced. */
  over(methods: Partial<LeaseStore>): LeaseStore {
    return new Proxy(this.store, {
      get: (target, name: keyof LeaseStore) =>
        methods[name] ?? (target[name] as (...args: unknown[]) => unknown).bind(target),
    });
  }

  /** While `now`, the lease table is out of reach. */
  severable(state: { now: boolean }): LeaseStore {
    return new Proxy(this.store, {
      get: (target, name: keyof LeaseStore) =>
        state.now
          ? () => Promise.reject(new Error('out of reach'))
          : (target[name] as (...args: unknown[]) => unknown).bind(target),
    });
  }

  /** Puts `count` records, numbered by source, and waits until each source's are processed, each once and in order. */
  async putAndCheck(count: number): Promise<void> {
    const before = [...this.processed.values()].flat().length;
    const sources = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    await this.stack.put(
      Array.from({ length: count }, (_, n) => {
        const key = sources[n % sources.length] ?? '';
        return { key, data: `${key} ${before + n}` };
      }),
    );
    await eventually(() => expect([...this.processed.values()].flat().length).toBe(before + count));
    for (const texts of this.processed.values()) {
      for (const source of sources) {
        const numbers = texts
          .filter((text) => text.startsWith(source))
          .map((text) => Number(text.split(' ')[1]));
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      }
    }
  }
}

/** Gives each test of the file that calls it a group of its own. */
export function ownGroup(): { readonly group: TestGroup } {
  let group: TestGroup;
  beforeEach(async () => {
    group = await TestGroup.create();
  });
  afterEach(() => group.close());
  return {
    get group() {
      return group;
    },
  };
}
