import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { listShards } from '../../shared/list-shards.ts';
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
    clock,
    log,
    metrics,
  });
  const holes = async () => (await metrics.hashRangeHoles.get()).values[0]?.value;
  const run = async () => sync.sync((await store.read()).leases);
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
