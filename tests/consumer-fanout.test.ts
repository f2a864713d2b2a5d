import { setTimeout as sleep } from 'node:timers/promises';
import { SplitShardCommand } from '@aws-sdk/client-kinesis';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { TestStack } from '../services/testkit/stack.ts';

const TIMEOUT_MS = 15_000;
let double: KinesisDouble;
let stack: TestStack;

beforeEach(async () => {
  double = await startKinesisDouble({ limits: 'none', pushDelayMs: 20 });
  stack = await TestStack.create({ kinesis: double.endpoint, dynamodb: inject('dynamodbEndpoint') });
});
afterEach(async () => {
  await stack.close();
  await double.stop();
});

const put = (from: number, to: number) =>
  stack.put(
    Array.from({ length: to - from }, (_, i) => ({
      key: `s${(from + i) % 10}`,
      data: JSON.stringify({ source: `s${(from + i) % 10}`, amount: from + i, request_id: `id-${from + i}` }),
    })),
  );

async function stored(count: number): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while ((await stack.countRecords()) < count) {
    if (Date.now() > deadline) throw new Error(`${await stack.countRecords()} of ${count} stored`);
    await sleep(50);
  }
}

it('consumes by enhanced fan-out: registers, follows a split, and hands over to another worker', {
  timeout: 60_000,
}, async () => {
  const env = { FETCH: 'fanout', STARTING_POSITION: 'TRIM_HORIZON' };
  await put(0, 200);
  const first = await stack.start('consumer', env);
  await stored(200);
  await stack.kinesis.send(
    new SplitShardCommand({
      StreamName: stack.resources.stream,
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: String(2n ** 126n),
    }),
  );
  await sleep(100); // the split takes effect
  await put(200, 400);
  await stored(400);
  expect(await first.stop()).toEqual({ code: 0, signal: null });
  expect(double.subscriptions).toBe(0);
  await put(400, 600);
  await stack.start('consumer', env);
  await stored(600);
  const ids = (await stack.records()).map(({ id }) => id);
  expect(new Set(ids)).toEqual(new Set(Array.from({ length: 600 }, (_, n) => `id-${n}`)));
  expect(double.calls.get('GetRecords')).toBeUndefined();
  expect(double.calls.get('RegisterStreamConsumer')).toBe(1);
});
