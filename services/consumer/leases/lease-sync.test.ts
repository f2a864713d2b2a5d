import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { listShards, type ShardInfo } from '../../shared/list-shards.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { TestStack } from '../../testkit/stack.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { DynamoDBLeaseStore } from './lease-store.ts';
import { LeaseSync } from './lease-sync.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
});
afterAll(() => stack.close());

it('says which hash keys nobody reads, when it finds it twice, and when that is over', async () => {
  const logged: string[] = [];
  const log = pino(
    new Writable({
      write: (line, _, done) => {
        logged.push(String(line));
        done();
      },
    }),
  );
  const metrics = createConsumerMetrics(createRegistry('test'));
  const store = new DynamoDBLeaseStore(stack.dynamodb, stack.resources.leaseTable);
  const sync = new LeaseSync({
    store,
    listShards: () => listShards(stack.kinesis, stack.resources.stream),
    startingPosition: { type: 'LATEST' },
    leaseDurationMs: 10_000,
    clock,
    log,
    metrics,
  });
  const holes = async () => (await metrics.hashRangeHoles.get()).values[0]?.value;
  const run = async () =>
    sync.sync(
      await listShards(stack.kinesis, stack.resources.stream),
      (await store.read()).leases,
      clock.monotonic(),
    );
  expect((await run()).created).toHaveLength(2);
  await run();
  expect(await holes()).toBe(0);

  const [lease] = (await store.read()).leases;
  const held = (await store.take(lease!, { workerId: 'w1', address: undefined }))!;
  const ended = await store.update(held, {
    checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 },
  });
  await run();
  expect(await holes()).toBe(0);
  await run();
  expect(await holes()).toBe(1);
  const { starting, ending } = lease!.hashKeyRange!;
  expect(logged.join()).toContain(`"holes":["${starting}-${ending}"]`);

  await store.remove(ended);
  expect((await run()).created.map(({ leaseKey }) => leaseKey)).toEqual([lease!.leaseKey]);
  await run();
  expect(await holes()).toBe(0);
});

it('keeps the row of a shard that is done with until no creation of it can be under way any more', async () => {
  const own = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  const store = new DynamoDBLeaseStore(own.dynamodb, own.resources.leaseTable);
  const whole = { starting: '0', ending: String(2n ** 128n - 1n) };
  const shard = (shardId: string, parentShardIds: string[], open: boolean): ShardInfo => ({
    shardId,
    parentShardIds,
    open,
    hashKeyRange: whole,
  });
  let shards = [shard('parent', [], true)];
  let aheadMs = 0;
  const ahead = { ...clock, monotonic: () => clock.monotonic() + aheadMs };
  const sync = new LeaseSync({
    store,
    listShards: async () => shards,
    startingPosition: { type: 'TRIM_HORIZON' },
    leaseDurationMs: 10_000,
    clock: ahead,
    log: pino({ level: 'silent' }),
    metrics: createConsumerMetrics(createRegistry('test')),
  });
  const keys = async () => (await store.read()).leases.map(({ leaseKey }) => leaseKey).sort();
  const run = async (ageMs = 0) => sync.sync(shards, (await store.read()).leases, ahead.monotonic() - ageMs);
  const reach = async (key: string, sequenceNumber: string) => {
    const lease = (await store.read()).leases.find(({ leaseKey }) => leaseKey === key);
    const held = await store.take(lease!, { workerId: 'w1', address: undefined });
    await store.update(held!, { checkpoint: { sequenceNumber, subSequenceNumber: 0 } });
  };

  await expect(run(10_001)).rejects.toMatchObject({ code: 'reading-old', retryable: true });
  expect(await keys()).toEqual([]);
  await run();
  await reach('parent', 'SHARD_END');
  shards = [shard('parent', [], false), shard('child', ['parent'], true)];
  await run();
  await reach('child', '4900');
  await run();
  aheadMs += 5 * 60_000 - 1_000;
  await run();
  expect(await keys()).toEqual(['child', 'parent']);
  aheadMs += 1_000;
  await run();
  expect(await keys()).toEqual(['child']);
  await own.close();
});
