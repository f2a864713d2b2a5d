import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createDynamoDBClient } from '../../shared/aws.ts';
import { systemClock } from '../../shared/clock.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type ProxiedCall, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { TestStack } from '../../testkit/stack.ts';
import { LeaseLostError } from '../errors.ts';
import { WorkerLoad } from '../worker-load.ts';
import { HeldLease, KEEPS_PER_LEASE, leaseCallTimeoutMs } from './held-lease.ts';
import { DynamoDBLeaseStore } from './lease-store.ts';
import { ShardMeter } from './shard-meter.ts';

const LEASE_MS = 10_000;
const W1 = { workerId: 'w1', address: 'w1:9090' };
const W2 = { workerId: 'w2', address: 'w2:9090' };
const at = (sequenceNumber: string) => ({ sequenceNumber, subSequenceNumber: 0 });

let stack: TestStack;
let store: DynamoDBLeaseStore;
let clock: VirtualClock;
let held: HeldLease;
let shards = 0;

beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  store = new DynamoDBLeaseStore(stack.dynamodb, stack.resources.leaseTable);
});
afterAll(() => stack.close());

/** A lease that `W1` has just taken. */
async function taken(): Promise<Lease> {
  const lease: Lease = {
    leaseKey: `shardId-${String(shards++).padStart(12, '0')}`,
    leaseOwner: undefined,
    leaseCounter: 0,
    checkpoint: at('TRIM_HORIZON'),
    ownerSwitchesSinceCheckpoint: 0,
    parentShardIds: [],
    childShardIds: [],
    hashKeyRange: undefined,
    startedAt: undefined,
    workerAddress: undefined,
    tenure: undefined,
    report: undefined,
  };
  await store.create(lease);
  return (await store.take(lease, W1))!;
}

beforeEach(async () => {
  clock = new VirtualClock();
  const meter = new ShardMeter(clock, LEASE_MS, new WorkerLoad(clock, []));
  held = new HeldLease(await taken(), store, clock, LEASE_MS, clock.monotonic(), meter);
});

const row = async () => (await store.read()).leases.find(({ leaseKey }) => leaseKey === held.shardId)!;

describe('a held lease', () => {
  it('is renewed after a third of its time, with a report, and not before', async () => {
    clock.advance(3_000);
    await held.keep();
    expect((await row()).leaseCounter).toBe(1);
    clock.advance(1_000);
    await held.keep();
    expect(await row()).toMatchObject({ leaseCounter: 2, report: { reportedAt: clock.now() } });
  });

  it('is renewed by a checkpoint, which has the report when it is due', async () => {
    clock.advance(1_000);
    await held.checkpoint(at('1'));
    expect((await row()).report).toBeUndefined();
    clock.advance(3_000);
    await held.checkpoint(at('2'));
    await held.keep();
    expect(await row()).toMatchObject({ leaseCounter: 3, checkpoint: at('2'), report: { busyShare: 0 } });
  });

  it('falls silent before anybody could have seen it expire, and writes nothing then', async () => {
    clock.advance(9_000);
    await held.keep();
    expect(held.lost.aborted).toBe(true);
    await expect(held.checkpoint(at('1'))).rejects.toBeInstanceOf(LeaseLostError);
    await expect(held.release(at('1'), W2)).rejects.toBeInstanceOf(LeaseLostError);
    expect(await row()).toMatchObject({ leaseCounter: 1, checkpoint: at('TRIM_HORIZON') });
  });

  it('writes nothing either when it wakes up too late, before any call of keep', async () => {
    clock.advance(60_000); // SIGSTOP … SIGCONT
    await expect(held.checkpoint(at('1'))).rejects.toBeInstanceOf(LeaseLostError);
    expect(held.lost.aborted).toBe(true);
    expect((await row()).leaseCounter).toBe(1);
  });

  it('is lost to who took it, and given to who it is released to', async () => {
    const other = (await store.take(held.lease, W2))!;
    await expect(held.checkpoint(at('1'))).rejects.toBeInstanceOf(LeaseLostError);
    expect(held.lost.aborted).toBe(true);
    const theirs = new HeldLease(
      other,
      store,
      clock,
      LEASE_MS,
      0,
      new ShardMeter(clock, LEASE_MS, new WorkerLoad(clock, [])),
    );
    await theirs.release(at('7'), W1);
    expect(theirs.lost.aborted).toBe(true);
    expect(await row()).toMatchObject({ leaseOwner: 'w1', workerAddress: 'w1:9090', checkpoint: at('7') });
  });

  it('writes one after another, whoever asks at the same time', async () => {
    clock.advance(4_000);
    await Promise.all([
      held.checkpoint(at('1')),
      held.keep(),
      held.checkpoint(at('2')),
      held.checkpoint(at('3')),
    ]);
    expect(await row()).toMatchObject({ checkpoint: at('3'), leaseOwner: 'w1' });
    expect(held.lease).toEqual(await row());
  });
});

describe('a lease held through the client of the lease table', () => {
  const DURATION_MS = 2_000;

  interface Hindrance {
    /** The n-th write waits for it on its way. */
    before?: (n: number) => Promise<void>;
    /** So does its answer. */
    after?: (n: number) => Promise<void>;
  }

  /** Whether a lease is held for longer than its time. */
  async function outlasts({ before, after }: Hindrance): Promise<boolean> {
    const writes: ProxiedCall[] = [];
    const proxy = await startFaultProxy(inject('dynamodbEndpoint'), {
      before: async (call) => {
        if (call.operation !== 'UpdateItem') return undefined;
        const n = writes.push(call);
        await before?.(n);
        return undefined;
      },
      after: async (call) => {
        if (call.operation === 'UpdateItem') await after?.(writes.indexOf(call) + 1);
      },
    });
    const client = createDynamoDBClient({
      region: 'us-east-1',
      credentials: EMULATOR_CREDENTIALS,
      dynamodbEndpoint: proxy.endpoint,
      requestTimeoutMs: leaseCallTimeoutMs(DURATION_MS),
    });
    const table = new DynamoDBLeaseStore(client, stack.resources.leaseTable);
    const meter = new ShardMeter(systemClock, DURATION_MS, new WorkerLoad(systemClock, []));
    const lease = await taken();
    const startedAt = systemClock.monotonic();
    const kept = new HeldLease(lease, table, systemClock, DURATION_MS, startedAt, meter);
    while (!kept.lost.aborted && systemClock.monotonic() - startedAt < 1.5 * DURATION_MS) {
      void kept.keep().catch(() => {});
      await systemClock.sleep(DURATION_MS / KEEPS_PER_LEASE);
    }
    client.destroy();
    await proxy.stop();
    expect(writes.length).toBeGreaterThan(1);
    return !kept.lost.aborted;
  }

  it('stays through late answers, through a write that hangs on its way, and through one whose answer never comes', async () => {
    const late = () => systemClock.sleep(0.15 * DURATION_MS);
    const firstHangs = (n: number) => (n === 1 ? new Promise<void>(() => {}) : Promise.resolve());
    const outcomes = [{ after: late }, { before: firstHangs }, { after: firstHangs }].map(outlasts);
    expect(await Promise.all(outcomes)).toEqual([true, true, true]);
  });
});
