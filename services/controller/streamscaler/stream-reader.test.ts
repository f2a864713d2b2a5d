import { CreateTableCommand, PutItemCommand, waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import { PutRecordCommand, SplitShardCommand, UpdateShardCountCommand } from '@aws-sdk/client-kinesis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createKinesisClient } from '../../shared/aws.ts';
import { fromRow, type Lease, type Row, toRow } from '../../shared/kcl/lease-row.ts';
import { listShards } from '../../shared/list-shards.ts';
import { LEASE_TABLE } from '../../shared/tables.ts';
import { type KinesisDouble, startKinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { TestStack } from '../../testkit/stack.ts';
import { StreamReader } from './stream-reader.ts';

const STREAM = 'orders';

let stack: TestStack;
let double: KinesisDouble;
let clock: VirtualClock;
let kinesis: ReturnType<typeof createKinesisClient>;
let reader: StreamReader;

beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
});
afterAll(() => stack.close());

let tables = 0;
let leaseTable: string;

beforeEach(async () => {
  clock = new VirtualClock();
  double = await startKinesisDouble({ clock });
  double.createStream(STREAM, 2);
  kinesis = createKinesisClient({
    region: 'ap-south-1',
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
    kinesisEndpoint: double.endpoint,
    maxAttempts: 1,
  });
  leaseTable = `${stack.resources.leaseTable}-${tables++}`;
  await stack.dynamodb.send(
    new CreateTableCommand({ TableName: leaseTable, ...LEASE_TABLE, BillingMode: 'PAY_PER_REQUEST' }),
  );
  await waitUntilTableExists(
    { client: stack.dynamodb, maxWaitTime: 10, minDelay: 0.02 },
    { TableName: leaseTable },
  );
  reader = new StreamReader({ kinesis, dynamodb: stack.dynamodb, stream: STREAM, leaseTable, clock });
});
afterEach(async () => {
  kinesis.destroy();
  await double.stop();
});

async function lease(shard: number, change: Partial<Lease> = {}, more: Row = {}): Promise<void> {
  const shards = await listShards(kinesis, STREAM);
  const info = shards[shard]!;
  const row = toRow({
    leaseKey: info.shardId,
    leaseOwner: undefined,
    leaseCounter: 1,
    checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
    ownerSwitchesSinceCheckpoint: 0,
    parentShardIds: info.parentShardIds,
    childShardIds: [],
    hashKeyRange: info.hashKeyRange,
    startedAt: undefined,
    workerAddress: undefined,
    tenure: undefined,
    report: undefined,
    ...change,
  });
  await stack.dynamodb.send(new PutItemCommand({ TableName: leaseTable, Item: { ...row, ...more } }));
}

/** Puts a record into the shard that covers the lower or the upper half of the hash keys. */
async function put(half: 0 | 1): Promise<string> {
  const ExplicitHashKey = half === 0 ? '1' : (2n ** 128n - 2n).toString();
  const command = new PutRecordCommand({
    StreamName: STREAM,
    Data: new Uint8Array(10),
    PartitionKey: 'k',
    ExplicitHashKey,
  });
  return (await kinesis.send(command)).SequenceNumber!;
}

const report = (change: object = {}) => ({
  reportedAt: clock.now(),
  millisBehindLatest: 0,
  recordsPerSecond: 100,
  bytesPerSecond: 30_000,
  busyShare: 0.4,
  lastArrivalAt: undefined,
  ...change,
});

const lags = async () => (await reader.observe()).stream?.shards.map(({ lagSeconds }) => lagSeconds);

describe('the lag of shards that nobody reports on', () => {
  it('is the age of the first record after the checkpoint, with no pod running', async () => {
    const first = await put(0);
    clock.advance(40_000);
    const second = await put(0);
    clock.advance(20_000);
    await lease(0, { checkpoint: { sequenceNumber: first, subSequenceNumber: 0 } });
    await lease(1);
    expect(await lags()).toEqual([20, 0]);
    await lease(0, { checkpoint: { sequenceNumber: second, subSequenceNumber: 0 } });
    clock.advance(6_000);
    expect(await lags()).toEqual([0, 0]);
    clock.advance(3_600_000);
    expect(await lags(), 'an idle stream is not behind').toEqual([0, 0]);
  });

  it('is read from the rows of KCL 2 and of an application of several streams', async () => {
    await put(0);
    await put(1);
    clock.advance(30_000);
    const [one, two] = await listShards(kinesis, STREAM);
    const kcl2: Row = {
      leaseKey: { S: one!.shardId },
      leaseOwner: { S: 'java' },
      leaseCounter: { N: '5' },
      checkpoint: { S: 'TRIM_HORIZON' },
      checkpointSubSequenceNumber: { N: '0' },
    };
    expect(fromRow(kcl2)).toBeDefined();
    const several: Row = { ...kcl2, leaseKey: { S: `000000000000:${STREAM}:1700000000:${two!.shardId}` } };
    const other: Row = {
      ...kcl2,
      leaseKey: { S: `000000000000:other:1700000000:${two!.shardId}` },
      checkpoint: { S: 'SHARD_END' },
    };
    for (const Item of [kcl2, several, other])
      await stack.dynamodb.send(new PutItemCommand({ TableName: leaseTable, Item }));
    expect(await lags()).toEqual([30, 30]);
  });

  it('counts from LATEST on, from when the lease was made or first seen', async () => {
    await put(0);
    clock.advance(1_000);
    await lease(0, {
      checkpoint: { sequenceNumber: 'LATEST', subSequenceNumber: 0 },
      startedAt: clock.now(),
    });
    await lease(1, { checkpoint: { sequenceNumber: 'LATEST', subSequenceNumber: 0 } });
    expect(await lags()).toEqual([0, 0]);
    clock.advance(1_000);
    await put(0);
    await put(1);
    clock.advance(9_000);
    expect(await lags()).toEqual([9, 9]);
  });

  it('costs a shard one read in 5 s, however often it is asked', async () => {
    await lease(0);
    await lease(1);
    for (let i = 0; i < 10; i++) {
      await reader.observe();
      clock.advance(1_000);
    }
    expect(double.calls.get('GetRecords')).toBe(4);
  });
});

describe('reports', () => {
  it('give lag, rates and owner while they are fresh, and a probe takes over when they stop', async () => {
    await put(0);
    await lease(0, { leaseOwner: 'a', report: report({ millisBehindLatest: 5_000 }) });
    await lease(1);
    const [shard] = (await reader.observe()).stream!.shards;
    expect(shard).toMatchObject({
      lagSeconds: 5,
      owner: 'a',
      busyShare: 0.4,
      processed: { records: 100, bytes: 30_000 },
    });
    clock.advance(29_000);
    expect((await lags())?.[0]).toBe(5);
    clock.advance(2_000);
    const [stale] = (await reader.observe()).stream!.shards;
    expect(stale).toMatchObject({
      lagSeconds: 31,
      owner: undefined,
      processed: undefined,
      busyShare: undefined,
    });
  });

  it('count as fresh by their change, even from an owner whose clock is an hour off', async () => {
    const hour = 3_600_000;
    await lease(0, {
      leaseOwner: 'a',
      report: report({ reportedAt: clock.now() - hour, millisBehindLatest: 7_000 }),
    });
    await lease(1);
    expect(await lags(), 'may have been left behind').toEqual([0, 0]);
    clock.advance(15_000);
    await lease(0, {
      leaseOwner: 'a',
      report: report({ reportedAt: clock.now() - hour, millisBehindLatest: 7_000 }),
    });
    expect(await lags()).toEqual([7, 0]);
  });

  it('tell the arrival from the progress and the movement of the lag', async () => {
    await lease(1);
    const told = [];
    for (const millisBehindLatest of [10_000, 17_500, 25_000, 32_500, 40_000]) {
      await lease(0, { leaseOwner: 'a', report: report({ millisBehindLatest }) });
      told.push((await reader.observe()).stream!.shards[0]!.arrival?.records);
      clock.advance(15_000);
    }
    expect(told).toEqual([undefined, 200, 200, 200, 200]);
  });
});

describe('a KCL application, which tells no rates', () => {
  it('shows by its lag how much of what arrives it gets done, as long as its owner lives', async () => {
    const first = await put(0);
    const kcl = (leaseCounter: number, sequenceNumber: string) =>
      lease(0, { leaseOwner: 'java', leaseCounter, checkpoint: { sequenceNumber, subSequenceNumber: 0 } });
    await lease(1);
    clock.advance(30_000);
    for (let tick = 0; tick < 5; tick++) {
      await kcl(tick, 'TRIM_HORIZON');
      await reader.observe();
      clock.advance(15_000);
    }
    await kcl(5, 'TRIM_HORIZON');
    const { stream } = await reader.observe();
    expect(stream?.relative).toBe(true);
    // The lag grows by a second each second: nothing gets done.
    const arrival = { records: 500, bytes: 0 };
    expect(stream?.shards[0]).toMatchObject({
      owner: 'java',
      lagSeconds: 105,
      arrival,
      processed: { records: 0 },
      busyShare: 1,
    });
    await kcl(6, first);
    clock.advance(15_000);
    const [caughtUp] = (await reader.observe()).stream!.shards;
    expect(caughtUp?.processed?.records).toBeGreaterThan(500);
    expect(caughtUp?.busyShare).toBeUndefined();
    clock.advance(61_000);
    const [gone] = (await reader.observe()).stream!.shards;
    expect(gone).toMatchObject({ owner: undefined, processed: undefined });
  });
});

describe('a lineage', () => {
  beforeEach(async () => {
    await put(0);
    await put(1);
    clock.advance(10_000);
    const [{ shardId } = { shardId: '' }] = await listShards(kinesis, STREAM);
    const at = (2n ** 126n).toString();
    await kinesis.send(
      new SplitShardCommand({ StreamName: STREAM, ShardToSplit: shardId, NewStartingHashKey: at }),
    );
    clock.advance(1_000);
    await put(0);
    clock.advance(4_000);
  });

  it('has undrained parents, and children that wait for them', async () => {
    await lease(0);
    await lease(1, {
      checkpoint: { sequenceNumber: 'LATEST', subSequenceNumber: 0 },
      startedAt: clock.now(),
    });
    const { stream } = await reader.observe();
    expect(stream?.shards.map(({ open, startable, lagSeconds }) => [open, startable, lagSeconds])).toEqual([
      [false, true, 15],
      [true, true, 0],
      [true, false, 4],
      [true, false, 0],
    ]);
  });

  it('is done with a parent that ended, also when KCL has removed its lease', async () => {
    await lease(0, { checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 } });
    await lease(1);
    const shards = async () =>
      (await reader.observe()).stream?.shards.map(({ open, startable }) => [open, startable]);
    expect(await shards()).toEqual([
      [true, true],
      [true, true],
      [true, true],
    ]);
  });
});

describe('what can not be read', () => {
  it('is not zero, and is named with what is missing', async () => {
    expect(await reader.observe()).toMatchObject({
      stream: { shards: [{ lagSeconds: undefined }, { lagSeconds: undefined }] },
      problems: [expect.stringContaining('the consumer must have run once'), expect.anything()],
    });
    await lease(0);
    await lease(1);
    double.faults.next({ kind: 'throttle', operation: 'GetRecords' });
    const throttled = await reader.observe();
    expect(throttled.stream?.shards.filter(({ lagSeconds }) => lagSeconds === undefined)).toHaveLength(1);
    expect(throttled.problems).toEqual([
      expect.stringMatching(/^kinesis:GetRecords on orders, shardId-\d+ was throttled$/),
    ]);
  });

  it('leaves out the whole when the shards or the leases are unknown', async () => {
    const lost = new StreamReader({
      kinesis,
      dynamodb: stack.dynamodb,
      stream: 'nowhere',
      leaseTable: 'nothing',
      clock,
    });
    const { stream, problems } = await lost.observe();
    expect(stream).toBeUndefined();
    expect([...problems].sort()).toEqual([
      'nothing does not exist',
      'nowhere does not exist',
      'nowhere does not exist',
    ]);
  });

  it('knows that a stream is being changed', async () => {
    await lease(0);
    await kinesis.send(
      new UpdateShardCountCommand({
        StreamName: STREAM,
        TargetShardCount: 4,
        ScalingType: 'UNIFORM_SCALING',
      }),
    );
    expect((await reader.observe()).stream?.status).toBe('UPDATING');
  });
});
