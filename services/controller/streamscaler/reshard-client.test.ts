import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createKinesisClient } from '../../shared/aws.ts';
import { type FaultProxy, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { type KinesisDouble, startKinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { reshard } from './reshard-client.ts';

const STREAM = 'orders';
const UPDATE = { kind: 'update-shard-count', target: 4 } as const;

let double: KinesisDouble;
let proxy: FaultProxy;
let client: ReturnType<typeof createKinesisClient>;

beforeAll(async () => {
  double = await startKinesisDouble({ changeMs: 5_000 });
  proxy = await startFaultProxy(double.endpoint);
  client = createKinesisClient({
    region: 'eu-west-1',
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
    kinesisEndpoint: proxy.endpoint,
    maxAttempts: 1,
    requestTimeoutMs: 1_000,
  });
});
afterAll(async () => {
  client.destroy();
  await proxy.stop();
  await double.stop();
});
let streams = 0;
let stream: string;
beforeEach(() => {
  stream = `${STREAM}-${streams++}`;
  double.createStream(stream, 2);
});

const call = (step: Parameters<typeof reshard>[2]) =>
  reshard(client, stream, step, new AbortController().signal);

describe('a reshard call', () => {
  it('is accepted, and while it goes on another one is neither accepted nor refused', async () => {
    expect(await call(UPDATE)).toEqual({ kind: 'accepted' });
    expect(await call(UPDATE)).toMatchObject({
      kind: 'open',
      problem: expect.stringContaining('is being changed'),
    });
  });

  it('splits and merges', async () => {
    const half = (2n ** 126n).toString();
    expect(
      await call({ kind: 'split-shard', shardId: 'shardId-000000000000', newStartingHashKey: half }),
    ).toEqual({ kind: 'accepted' });
    stream = `${STREAM}-merge`;
    double.createStream(stream, 2);
    const merge = {
      kind: 'merge-shards',
      shardId: 'shardId-000000000000',
      adjacentShardId: 'shardId-000000000001',
    } as const;
    expect(await call(merge)).toEqual({ kind: 'accepted' });
  });

  it('is refused for a missing permission, which is named', async () => {
    proxy.plan('UpdateShardCount', { kind: 'error', status: 400, type: 'AccessDeniedException' });
    expect(await call(UPDATE)).toEqual({
      kind: 'refused',
      reason: 'PermissionMissing',
      problem: `permission kinesis:UpdateShardCount on ${stream} is missing`,
    });
  });

  it('is refused for good when it can not be done', async () => {
    expect(await call({ kind: 'update-shard-count', target: 100 })).toMatchObject({
      kind: expect.stringMatching(/refused|budget-spent/),
    });
    expect(
      await call({ kind: 'split-shard', shardId: 'shardId-000000000000', newStartingHashKey: '0' }),
    ).toMatchObject({
      kind: 'refused',
      reason: 'InvalidStep',
    });
    stream = 'nowhere';
    expect(await call(UPDATE)).toMatchObject({ kind: 'refused', reason: 'StreamNotFound' });
  });

  it('finds the budget spent when AWS says so', async () => {
    double.setLimits({ updateShardCountPerDay: 0 });
    expect(await call(UPDATE)).toMatchObject({ kind: 'budget-spent' });
    double.setLimits('aws');
  });

  it.each(['lost-answer', 'reset'] as const)('is open after a %s, and made once only', async (kind) => {
    const before = double.calls.get('UpdateShardCount') ?? 0;
    proxy.plan('UpdateShardCount', { kind });
    expect(await call(UPDATE)).toMatchObject({ kind: 'open' });
    expect((double.calls.get('UpdateShardCount') ?? 0) - before).toBe(kind === 'lost-answer' ? 1 : 0);
  });
});
