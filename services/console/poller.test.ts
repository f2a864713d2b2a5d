import { setTimeout as sleep } from 'node:timers/promises';
import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { createDynamoDBClient } from '../shared/aws.ts';
import { systemClock } from '../shared/clock.ts';
import { createRegistry } from '../shared/metrics.ts';
import { Progress } from '../shared/progress.ts';
import { EMULATOR_CREDENTIALS } from '../testkit/emulators.ts';
import { type FaultProxy, startFaultProxy } from '../testkit/fault-proxy.ts';
import { TestStack } from '../testkit/stack.ts';
import { waitFor } from '../testkit/wait-for.ts';
import { createConsoleMetrics } from './metrics.ts';
import { Poller } from './poller.ts';
import type { Anomaly } from './reads/anomalies.ts';

let stack: TestStack;
let proxy: FaultProxy;
let poller: Poller;
let told: Anomaly[];
let close: () => void;

beforeEach(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  proxy = await startFaultProxy(inject('dynamodbEndpoint'));
  const dynamodb = createDynamoDBClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    dynamodbEndpoint: proxy.endpoint,
    maxAttempts: 1,
  });
  told = [];
  const { stream, recordsTable: records, leaseTable: leases, deadLetterTable: deadLetters } = stack.resources;
  poller = new Poller(
    {
      kinesis: stack.kinesis,
      dynamodb,
      stream,
      region: 'us-east-1',
      tables: { records, leases, deadLetters },
      producerMetricsUrls: [],
      progress: new Progress(systemClock),
      // Ten times as fast.
      clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) },
      random: () => 0,
      metrics: createConsoleMetrics(createRegistry('test')),
    },
    { state() {}, deadLetters() {}, anomalies: (anomalies) => told.push(...anomalies) },
  );
  close = () => dynamodb.destroy();
});
afterEach(async () => {
  await poller.stop();
  close();
  await proxy.stop();
  await stack.close();
});

async function flag(id: string): Promise<void> {
  const time = new Date().toISOString();
  const Item = {
    id: { S: id },
    source: { S: 's' },
    amount: { N: '12345678901234567890' },
    anomaly_day: { S: time.slice(0, 10) },
    anomaly_time: { S: time },
  };
  await stack.dynamodb.send(new PutItemCommand({ TableName: stack.resources.recordsTable, Item }));
}

describe('the poller', () => {
  it('reads for all who look at once, tells each anomaly once, and stops when nobody looks', async () => {
    const leave = Array.from({ length: 20 }, () => poller.look());
    await poller.everything();
    // A Scan of the leases, one of the dead letters, a Query of each of two days.
    expect(proxy.operations.length).toBeLessThanOrEqual(8);
    await flag('a');
    await waitFor(() => told.length === 1);
    await flag('b');
    await waitFor(() => told.length === 2);
    expect(told).toMatchObject([{ id: 'a', amount: '12345678901234567890' }, { id: 'b' }]);
    for (const go of leave) {
      go();
      go();
    }
    // Reading ends 5 s (here 0.5) after the last has left.
    let seen = -1;
    await waitFor(async () => {
      const before = proxy.operations.length;
      await sleep(700);
      seen = proxy.operations.length;
      return seen === before;
    });
    expect(proxy.operations).toHaveLength(seen);
    poller.look();
    await waitFor(() => proxy.operations.length > seen);
  });

  it('says what can not be read, keeps what it has, and goes on with the rest', async () => {
    poller.look();
    await flag('a');
    await waitFor(async () => (await poller.everything()).anomalies.length === 1);
    proxy.plan(
      'Query',
      ...Array.from({ length: 200 }, () => ({
        kind: 'error' as const,
        status: 400,
        type: 'AccessDeniedException',
      })),
    );
    await waitFor(() => poller.state().problems.length > 0);
    const { anomalies, state } = await poller.everything();
    expect(anomalies).toHaveLength(1);
    expect(state.problems).toMatchObject([
      { reading: 'anomalies', problem: expect.stringContaining('AccessDenied'), ageMs: expect.any(Number) },
    ]);
    expect(state.shards?.open).toBe(2);
    proxy.plan('Query');
    await waitFor(() => poller.state().problems.length === 0);
  });

  it('does not keep a page waiting for a table that is slow', async () => {
    proxy.plan('Scan', { kind: 'latency', ms: 2_000 }, { kind: 'latency', ms: 2_000 });
    const from = performance.now();
    poller.look();
    const { state } = await poller.everything();
    expect(performance.now() - from).toBeLessThan(1_900);
    expect(state.verdict.level).toBe('unknown');
  });
});
