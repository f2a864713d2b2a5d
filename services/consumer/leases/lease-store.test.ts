import { type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createDynamoDBClient } from '../../shared/aws.ts';
import { fromRow, type Lease, toRow } from '../../shared/kcl/lease-row.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type FaultProxy, type ProxyFault, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { TestStack } from '../../testkit/stack.ts';
import { LeaseLostError } from '../errors.ts';
import { DynamoDBLeaseStore } from './lease-store.ts';

let stack: TestStack;
let store: DynamoDBLeaseStore;
let shards = 0;
let lease: Lease;

beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  store = new DynamoDBLeaseStore(stack.dynamodb, stack.resources.leaseTable);
});
afterAll(() => stack.close());

beforeEach(async () => {
  lease = {
    leaseKey: `shardId-${String(shards++).padStart(12, '0')}`,
    leaseOwner: undefined,
    leaseCounter: 0,
    checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
    ownerSwitchesSinceCheckpoint: 0,
    parentShardIds: [],
    childShardIds: [],
    hashKeyRange: { starting: '0', ending: '340282366920938463463374607431768211455' },
    startedAt: undefined,
    workerAddress: undefined,
    tenure: undefined,
    report: undefined,
  };
  expect(await store.create(lease)).toBe(true);
});

const worker = (workerId: string) => ({ workerId, address: `${workerId}:9090` });
const stored = async () => (await store.read()).leases.find(({ leaseKey }) => leaseKey === lease.leaseKey);

describe('the lease store', () => {
  it('creates a lease once', async () => {
    expect(await store.create({ ...lease, leaseCounter: 7 })).toBe(false);
    expect(await stored()).toEqual(lease);
  });

  it('gives a lease to one of many who want it', async () => {
    const taken = await Promise.all(['w1', 'w2', 'w3', 'w4'].map((id) => store.take(lease, worker(id))));
    const winners = taken.filter((one) => one !== undefined);
    expect(winners).toHaveLength(1);
    expect(await stored()).toEqual(winners[0]);
  });

  it('writes nothing for a worker that lost the lease', async () => {
    const first = (await store.take(lease, worker('w1')))!;
    const second = (await store.take(first, worker('w2')))!;
    expect(second.ownerSwitchesSinceCheckpoint).toBe(1);
    const checkpoint = { sequenceNumber: '123', subSequenceNumber: 0 };
    await expect(store.update(first, { checkpoint })).rejects.toBeInstanceOf(LeaseLostError);
    await expect(store.update(first, {})).rejects.toBeInstanceOf(LeaseLostError);
    await expect(store.update(first, { release: { to: undefined } })).rejects.toBeInstanceOf(LeaseLostError);
    expect(await stored()).toEqual(second);
  });

  it('does not let a worker take over what moved since it looked', async () => {
    const first = (await store.take(lease, worker('w1')))!;
    await store.update(first, {});
    expect(await store.take(first, worker('w2'))).toBeUndefined();
  });

  it('keeps checkpoint, children and release in the row', async () => {
    const held = (await store.take(lease, worker('w1')))!;
    const moved = await store.update(held, { checkpoint: { sequenceNumber: '9', subSequenceNumber: 3 } });
    expect(await stored()).toEqual(moved);
    expect(moved).toMatchObject({
      leaseOwner: 'w1',
      checkpoint: { sequenceNumber: '9', subSequenceNumber: 3 },
    });
    const ended = await store.update(moved, {
      checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 },
      childShardIds: ['a', 'b'],
      release: { to: undefined },
    });
    expect(ended.leaseOwner).toBeUndefined();
    expect(await stored()).toEqual(ended);
  });

  it('gives a lease to a worker, who then takes it, and takes it back only while that one did not', async () => {
    const held = (await store.take(lease, worker('w1')))!;
    const given = await store.update(held, {
      checkpoint: { sequenceNumber: '9', subSequenceNumber: 0 },
      release: { to: worker('w2') },
    });
    expect(given).toMatchObject({ leaseOwner: 'w2', workerAddress: 'w2:9090', tenure: undefined });
    expect(await stored()).toEqual(given);
    await expect(store.update(held, {})).rejects.toBeInstanceOf(LeaseLostError);
    const received = (await store.take(given, worker('w2')))!;
    expect(received.ownerSwitchesSinceCheckpoint).toBe(0);
    await store.revoke(given);
    expect(await stored()).toEqual(received);
    const again = await store.update(received, { release: { to: worker('w3') } });
    await store.revoke(again);
    expect((await stored())?.leaseOwner).toBeUndefined();
  });

  it('does not take a later holding of the same worker for its own write whose answer was lost', async () => {
    const zombie = (await store.take(lease, worker('w1')))!;
    const other = (await store.take(zombie, worker('w2')))!;
    const given = await store.update(other, { release: { to: worker('w1') } });
    const checkpoint = { sequenceNumber: '1', subSequenceNumber: 0 };
    await expect(store.update(zombie, { checkpoint })).rejects.toBeInstanceOf(LeaseLostError);
    const again = (await store.take(given, worker('w1')))!;
    await expect(store.update(zombie, { checkpoint })).rejects.toBeInstanceOf(LeaseLostError);
    expect(await stored()).toEqual(again);
  });

  it('knows its own writes whose answers were lost, however many there were', async () => {
    const held = (await store.take(lease, worker('w1')))!;
    await store.update(await store.update(held, {}), {});
    const checkpoint = { sequenceNumber: '5', subSequenceNumber: 0 };
    const next = await store.update(held, { checkpoint });
    expect(await stored()).toEqual(next);
    expect(next.leaseCounter).toBe(held.leaseCounter + 3);
  });

  describe('whose answers are lost, while its client sends each write again by itself', () => {
    let proxy: FaultProxy;
    let client: DynamoDBClient;
    let deaf: DynamoDBLeaseStore;
    beforeEach(async () => {
      proxy = await startFaultProxy(inject('dynamodbEndpoint'));
      client = createDynamoDBClient({
        region: 'us-east-1',
        credentials: EMULATOR_CREDENTIALS,
        dynamodbEndpoint: proxy.endpoint,
      });
      deaf = new DynamoDBLeaseStore(client, stack.resources.leaseTable);
    });
    afterEach(async () => {
      client.destroy();
      await proxy.stop();
    });
    const LOST: ProxyFault = { kind: 'lost-answer' };
    const PASSED: ProxyFault = { kind: 'latency', ms: 0 };
    /** Each write is made, its answer lost, and made again by the client, which then finds the row moved. */
    const loseAnswers = (writes: number) =>
      proxy.plan('UpdateItem', ...Array.from({ length: writes }, () => [LOST, PASSED]).flat());

    it('keeps the lease through several of them in a row', async () => {
      const held = (await store.take(lease, worker('w1')))!;
      loseAnswers(3);
      const checkpoint = { sequenceNumber: '5', subSequenceNumber: 0 };
      const next = await deaf.update(held, { checkpoint });
      expect(next).toEqual(await stored());
      expect(next).toMatchObject({ leaseOwner: 'w1', checkpoint });
    });

    it('does not count the lease as lost for any number of them', async () => {
      const held = (await store.take(lease, worker('w1')))!;
      loseAnswers(20);
      await expect(deaf.update(held, {})).rejects.toMatchObject({ code: 'lease-unanswered' });
      const { leaseCounter } = (await stored())!;
      loseAnswers(20);
      await expect(deaf.update(held, {}, AbortSignal.abort())).rejects.toBeInstanceOf(LeaseLostError);
      expect((await stored())?.leaseCounter).toBe(leaseCounter);
      proxy.plan('UpdateItem');
      const next = await deaf.update(held, {});
      expect(next).toEqual(await stored());
    });

    it('knows that it gave the lease, after a renewal that it did not hear of either', async () => {
      const held = (await store.take(lease, worker('w1')))!;
      await store.update(held, {});
      // The first is refused for the renewal.
      proxy.plan('UpdateItem', PASSED, LOST);
      const given = await deaf.update(held, { release: { to: worker('w2') } });
      expect(given).toMatchObject({ leaseOwner: 'w2', tenure: undefined });
      expect(given).toEqual(await stored());
    });
  });

  it('never moves a checkpoint back, also from one whose answer was lost', async () => {
    const held = (await store.take(lease, worker('w1')))!;
    const at = (sequenceNumber: string, subSequenceNumber = 0) => ({ sequenceNumber, subSequenceNumber });
    await store.update(held, { checkpoint: at('100', 2) });
    const found = await store.update(held, { checkpoint: at('99') });
    expect(found.checkpoint).toEqual(at('100', 2));
    expect(await store.update(found, { checkpoint: at('100', 1) })).toMatchObject({
      checkpoint: at('100', 2),
    });
    const read = (await stored())!;
    expect(read.checkpoint).toEqual(at('100', 2));
    await store.update(read, { checkpoint: at('SHARD_END'), childShardIds: ['shardId-1'] });
    const ended = await store.update(read, { checkpoint: at('200') });
    expect(ended).toMatchObject({ checkpoint: at('SHARD_END'), childShardIds: ['shardId-1'] });
    await store.update(ended, { checkpoint: at('200'), release: { to: undefined } });
    expect(await stored()).toMatchObject({ checkpoint: at('SHARD_END'), leaseOwner: undefined });
  });

  it("ends a KCL application's handoff and prepared checkpoint with its own take and checkpoint", async () => {
    const row = { ...toRow({ ...lease, leaseOwner: 'kcl' }), leaseKey: { S: `${lease.leaseKey}-kcl` } };
    await stack.dynamodb.send(
      new PutItemCommand({
        TableName: stack.resources.leaseTable,
        Item: {
          ...row,
          checkpointOwner: { S: 'kcl-before' },
          throughputKBps: { N: '12.5' },
          pendingCheckpoint: { S: '77' },
          pendingCheckpointSubSequenceNumber: { N: '0' },
        },
      }),
    );
    const taken = (await store.take(fromRow(row)!, worker('w1')))!;
    await store.update(taken, { checkpoint: { sequenceNumber: '78', subSequenceNumber: 0 } });
    const left = (await stack.leases()).find(({ leaseKey }) => leaseKey === row.leaseKey.S);
    for (const gone of ['checkpointOwner', 'pendingCheckpoint', 'pendingCheckpointSubSequenceNumber']) {
      expect(left).not.toHaveProperty(gone);
    }
    expect(left).toMatchObject({ leaseOwner: 'w1', checkpoint: '78', throughputKBps: 12.5 });
  });

  it('shows the workers that hold nothing, and forgets them unless they moved', async () => {
    const presence = {
      workerId: 'idle-1',
      address: '10.0.0.1:9090',
      seenAt: 1_795_486_303_123,
      leaving: true,
    };
    await store.announce(presence);
    expect((await store.read()).idle).toEqual([presence]);
    await store.withdraw('idle-1', 1_795_486_300_000);
    expect((await store.read()).idle).toEqual([presence]);
    await store.withdraw('idle-1', presence.seenAt);
    expect((await store.read()).idle).toEqual([]);
  });

  it('removes a lease that nobody touched since', async () => {
    const held = (await store.take(lease, worker('w1')))!;
    await store.remove(lease);
    expect(await stored()).toEqual(held);
    await store.remove(held);
    expect(await stored()).toBeUndefined();
  });

  it('passes over rows of other kinds', async () => {
    await stack.dynamodb.send(
      new PutItemCommand({
        TableName: stack.resources.leaseTable,
        Item: { leaseKey: { S: 'Leader' }, entityType: { S: 'LEADER' }, ownerName: { S: 'w1' } },
      }),
    );
    const ofAnotherStream = { ...lease, leaseKey: '123456789012:other:1700000000:shardId-000000000000' };
    await store.create(ofAnotherStream);
    const found = (await store.read()).leases.map(({ leaseKey }) => leaseKey);
    expect(found).not.toContain('Leader');
    expect(found).not.toContain(ofAnotherStream.leaseKey);
  });
});
