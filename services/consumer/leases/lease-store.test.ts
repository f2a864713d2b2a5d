import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
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
    report: undefined,
  };
  expect(await store.create(lease)).toBe(true);
});

const stored = async () => (await store.list()).find(({ leaseKey }) => leaseKey === lease.leaseKey);

describe('the lease store', () => {
  it('creates a lease once', async () => {
    expect(await store.create({ ...lease, leaseCounter: 7 })).toBe(false);
    expect(await stored()).toEqual(lease);
  });

  it('gives a lease to one of many who want it', async () => {
    const taken = await Promise.all(['w1', 'w2', 'w3', 'w4'].map((worker) => store.take(lease, worker)));
    const winners = taken.filter((one) => one !== undefined);
    expect(winners).toHaveLength(1);
    expect(await stored()).toEqual(winners[0]);
  });

  it('writes nothing for a worker that lost the lease', async () => {
    const first = (await store.take(lease, 'w1'))!;
    const second = (await store.take(first, 'w2'))!;
    expect(second.ownerSwitchesSinceCheckpoint).toBe(1);
    const checkpoint = { sequenceNumber: '123', subSequenceNumber: 0 };
    await expect(store.update(first, { checkpoint })).rejects.toBeInstanceOf(LeaseLostError);
    await expect(store.update(first, {})).rejects.toBeInstanceOf(LeaseLostError);
    await expect(store.update(first, { release: true })).rejects.toBeInstanceOf(LeaseLostError);
    expect(await stored()).toEqual(second);
  });

  it('does not let a worker take over what moved since it looked', async () => {
    const first = (await store.take(lease, 'w1'))!;
    await store.update(first, {});
    expect(await store.take(first, 'w2')).toBeUndefined();
  });

  it('keeps checkpoint, children and release in the row', async () => {
    const held = (await store.take(lease, 'w1'))!;
    const moved = await store.update(held, { checkpoint: { sequenceNumber: '9', subSequenceNumber: 3 } });
    expect(await stored()).toEqual(moved);
    expect(moved).toMatchObject({
      leaseOwner: 'w1',
      checkpoint: { sequenceNumber: '9', subSequenceNumber: 3 },
    });
    const ended = await store.update(moved, {
      checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 },
      childShardIds: ['a', 'b'],
      release: true,
    });
    expect(ended.leaseOwner).toBeUndefined();
    expect(await stored()).toEqual(ended);
  });

  it('passes over rows of other kinds', async () => {
    await stack.dynamodb.send(
      new PutItemCommand({
        TableName: stack.resources.leaseTable,
        Item: { leaseKey: { S: 'Leader' }, entityType: { S: 'LEADER' }, ownerName: { S: 'w1' } },
      }),
    );
    expect((await store.list()).map(({ leaseKey }) => leaseKey)).not.toContain('Leader');
  });
});
