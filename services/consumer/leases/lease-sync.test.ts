import { Writable } from 'node:stream';
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, it, onTestFinished } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { type Lease, streamMark } from '../../shared/kcl/lease-row.ts';
import { SHARD_END } from '../../shared/kcl/position.ts';
import { listShardsAt, type ShardInfo } from '../../shared/list-shards.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { TestStack } from '../../testkit/stack.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { DynamoDBLeaseStore } from './lease-store.ts';
import { LeaseSync, type LeaseSyncDeps } from './lease-sync.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
});
afterAll(() => stack.close());

const WHOLE = { starting: '0', ending: String(2n ** 128n - 1n) };
const NOTHING = { leases: [], damaged: [] };
const shard = (shardId: string, parentShardIds: string[], open: boolean): ShardInfo => ({
  shardId,
  parentShardIds,
  open,
  hashKeyRange: WHOLE,
});

/** Tables of a test's own. */
async function freshStack(): Promise<TestStack> {
  const own = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  onTestFinished(() => own.close());
  return own;
}

async function freshTable(): Promise<DynamoDBLeaseStore> {
  const own = await freshStack();
  return new DynamoDBLeaseStore(own.dynamodb, own.resources.leaseTable);
}

function setUp(deps: Partial<LeaseSyncDeps> & Pick<LeaseSyncDeps, 'store'>) {
  const logged: string[] = [];
  const write = (line: unknown, _: string, done: () => void) => {
    logged.push(String(line));
    done();
  };
  const metrics = createConsumerMetrics(createRegistry('test'));
  const sync = new LeaseSync({
    listShards: () => listShardsAt(stack.kinesis, stack.resources.stream),
    stream: stack.resources.stream,
    startingPosition: { type: 'LATEST' },
    leaseDurationMs: 10_000,
    clock,
    log: pino(new Writable({ write })),
    metrics,
    ...deps,
  });
  return { sync, metrics, logged };
}

it('says which hash keys nobody reads, when it finds it twice, and when that is over', async () => {
  const store = new DynamoDBLeaseStore(stack.dynamodb, stack.resources.leaseTable);
  const { sync, metrics, logged } = setUp({ store });
  const holes = async () => (await metrics.hashRangeHoles.get()).values[0]?.value;
  const run = async () =>
    sync.sync(
      await listShardsAt(stack.kinesis, stack.resources.stream),
      await store.read(),
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

it('says which rows are no leases, and that nobody reads their shards', async () => {
  const own = await freshStack();
  const TableName = own.resources.leaseTable;
  const store = new DynamoDBLeaseStore(own.dynamodb, TableName);
  const { sync, metrics, logged } = setUp({ store, startingPosition: { type: 'TRIM_HORIZON' } });
  const listing = { shards: [shard('shardId-000000000000', [], true)], at: undefined };
  const run = async () => sync.sync(listing, await store.read(), clock.monotonic());
  expect((await run()).created).toHaveLength(1);
  await own.dynamodb.send(
    new UpdateItemCommand({
      TableName,
      Key: { leaseKey: { S: 'shardId-000000000000' } },
      UpdateExpression: 'REMOVE leaseCounter',
    }),
  );
  for (let times = 0; times < 3; times++) expect((await run()).created).toEqual([]);
  expect((await metrics.hashRangeHoles.get()).values[0]?.value).toBe(1);
  expect(logged.filter((line) => line.includes('"rows":["shardId-000000000000"]'))).toHaveLength(1);
});

it('keeps the row of a shard that is done with until no creation of it can be under way any more', async () => {
  const store = await freshTable();
  let shards = [shard('parent', [], true)];
  let aheadMs = 0;
  const ahead = { ...clock, monotonic: () => clock.monotonic() + aheadMs };
  const { sync } = setUp({ store, startingPosition: { type: 'TRIM_HORIZON' }, clock: ahead });
  const keys = async () => (await store.read()).leases.map(({ leaseKey }) => leaseKey).sort();
  const run = async (ageMs = 0) =>
    sync.sync({ shards, at: undefined }, await store.read(), ahead.monotonic() - ageMs);
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
});

it('begins at LATEST by the clock of the stream, however wrong its own is', async () => {
  const anHour = 3_600_000;
  const fast = { ...clock, now: () => clock.now() + anHour };
  const store = await freshTable();
  const { sync } = setUp({ store, clock: fast });
  const listing = await listShardsAt(stack.kinesis, stack.resources.stream);
  const { created } = await sync.sync(listing, NOTHING, clock.monotonic());
  expect(created).toHaveLength(2);
  for (const { startedAt } of created)
    expect(Math.abs(Number(startedAt) - clock.now())).toBeLessThan(anHour / 2);
  await Promise.all(created.map((lease) => store.remove(lease)));
  const silent = await sync.sync({ ...listing, at: undefined }, NOTHING, clock.monotonic());
  expect(silent.created).toHaveLength(2);
  for (const { startedAt } of silent.created) expect(startedAt).toBeGreaterThan(clock.now() + anHour / 2);
});

it('reads on behind a gap that retention made, and ends what is lost, in the stream it was made for only', async () => {
  const store = await freshTable();
  const run = async (stream: string, shards: ShardInfo[], times: number) => {
    const { sync, metrics, logged } = setUp({ store, stream });
    const trimmed: string[][] = [];
    while (trimmed.length < times) {
      const synced = await sync.sync({ shards, at: undefined }, await store.read(), clock.monotonic());
      trimmed.push([...synced.trimmed]);
    }
    const unlisted = (await metrics.unlistedLeases.get()).values[0]?.value;
    return { trimmed, unlisted, said: logged.filter((line) => line.includes('STREAM_NAME')).length };
  };
  await run('one', [shard('shardId-000000000000', [], true)], 1);
  const left = [shard('shardId-000000000002', ['shardId-000000000001'], true)];
  expect(await run('other', left, 3)).toEqual({ trimmed: [[], [], []], unlisted: 1, said: 2 });
  const { leases } = await store.read();
  await store.remove(leases.find((lease) => lease.stream === streamMark('other'))!);
  expect(await run('one', left, 2)).toEqual({
    trimmed: [[], ['shardId-000000000000']],
    unlisted: 0,
    said: 0,
  });
  const rows = (await store.read()).leases.map((lease) => [lease.leaseKey, lease.checkpoint.sequenceNumber]);
  expect(Object.fromEntries(rows)).toEqual({
    'shardId-000000000000': 'LATEST',
    'shardId-000000000002': 'TRIM_HORIZON',
  });
});

it('leaves the children of a shard that ended to whoever ended it, but not for ever', async () => {
  let now = 0;
  const { sync } = setUp({ store: await freshTable(), clock: { ...clock, monotonic: () => now } });
  const { created } = await sync.sync(
    { shards: [shard('shardId-000000000000', [], true)], at: 0 },
    NOTHING,
    0,
  );
  const [parent] = created;
  const ended: Lease = { ...parent!, checkpoint: SHARD_END, childShardIds: ['shardId-000000000001'] };
  const child: Lease = { ...parent!, leaseKey: 'shardId-000000000001', parentShardIds: [ended.leaseKey] };
  const other: Lease = { ...ended, leaseKey: 'shardId-000000000009', childShardIds: [] };
  const look = (leases: Lease[], after: number) => {
    now += after;
    return sync.endedWithoutHeirs(leases);
  };
  expect(look([parent!], 0)).toBe(false);
  expect(look([ended], 1_000)).toBe(false);
  expect(look([ended], 60)).toBe(false);
  expect(look([ended, child], 440)).toBe(false);
  expect(look([ended, child, other], 1_000)).toBe(false);
  expect(look([ended, child, other], 500)).toBe(true);
  expect(look([ended, child, other], 1_000)).toBe(false);
  const told = { ...child, parentShardIds: [other.leaseKey] };
  expect(look([told], 1_000)).toBe(false);
  expect(look([told, other], 0)).toBe(false);
  expect(look([told, other], 1_000)).toBe(false);
});
