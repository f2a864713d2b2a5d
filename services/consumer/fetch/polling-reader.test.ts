import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createKinesisClient } from '../../shared/aws.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type Fault, type FaultProxy, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { TestStack } from '../../testkit/stack.ts';
import { StoppedError } from '../errors.ts';
import type { ReadFrom } from '../lineage/lineage.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { PollingReader } from './polling-reader.ts';

const SHARD = 'shardId-000000000000';
const HORIZON: ReadFrom = { type: 'TRIM_HORIZON' };
let proxy: FaultProxy;
let client: KinesisClient;
let stack: TestStack;

beforeAll(async () => {
  proxy = await startFaultProxy(inject('kinesisEndpoint'));
  client = createKinesisClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    kinesisEndpoint: proxy.endpoint,
    maxAttempts: 1,
  });
});
afterAll(async () => {
  client.destroy();
  await proxy.stop();
});

beforeEach(async () => {
  proxy.plan('GetRecords');
  proxy.plan('GetShardIterator');
  const endpoints = { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') };
  stack = await TestStack.create(endpoints, { shards: 1 });
});
afterEach(() => stack.close());

function readerFrom(from: ReadFrom): PollingReader {
  const deps = {
    client,
    stream: stack.resources.stream,
    pollIntervalMs: 200,
    clock,
    random: () => 0.01,
    log: pino({ level: 'silent' }),
    metrics: createConsumerMetrics(createRegistry('test')),
  };
  return new PollingReader(deps, SHARD, from);
}

const put = (...texts: string[]) => stack.put(texts.map((data) => ({ key: 'k', data })));

async function read(
  reader: PollingReader,
  count: number,
): Promise<{ text: string; sequenceNumber: string }[]> {
  const records: { text: string; sequenceNumber: string }[] = [];
  while (records.length < count) {
    const batch = await reader.next(AbortSignal.timeout(10_000), () => {});
    for (const { data, sequenceNumber } of batch.records) {
      records.push({ text: Buffer.from(data).toString(), sequenceNumber });
    }
  }
  return records;
}
const texts = (records: { text: string }[]) => records.map(({ text }) => text);

describe('the polling reader', () => {
  it('reads on after a position', async () => {
    await put('1', '2', '3');
    const all = await read(readerFrom(HORIZON), 3);
    expect(texts(all)).toEqual(['1', '2', '3']);
    const { sequenceNumber } = all[0]!;
    expect(
      texts(
        await read(
          readerFrom({ type: 'AT_SEQUENCE_NUMBER', done: { sequenceNumber, subSequenceNumber: 0 } }),
          2,
        ),
      ),
    ).toEqual(['2', '3']);
  });

  it.each<[string, Fault]>([
    ['expired iterators', { kind: 'error', status: 400, type: 'ExpiredIteratorException' }],
    ['throttles', { kind: 'error', status: 400, type: 'ProvisionedThroughputExceededException' }],
    ['internal errors', { kind: 'error', status: 500, type: 'InternalFailure' }],
    ['broken connections', { kind: 'reset' }],
    ['lost answers', { kind: 'lost-answer' }],
  ])('loses and repeats nothing through %s', async (_, fault) => {
    const reader = readerFrom(HORIZON);
    await put('1', '2');
    proxy.plan('GetRecords', fault, fault);
    proxy.plan('GetShardIterator', fault);
    expect(texts(await read(reader, 2))).toEqual(['1', '2']);
    await put('3');
    proxy.plan('GetRecords', fault);
    expect(texts(await read(reader, 1))).toEqual(['3']);
  });

  it('keeps to five reads a second', async () => {
    const reader = readerFrom(HORIZON);
    const startedAt = performance.now();
    for (let i = 0; i < 4; i++) await reader.next(AbortSignal.timeout(10_000), () => {});
    expect(performance.now() - startedAt).toBeGreaterThan(590);
  });

  it('stops when it is told to, also while it waits', async () => {
    const reader = readerFrom(HORIZON);
    await reader.next(AbortSignal.timeout(10_000), () => {});
    const stop = new AbortController();
    const waiting = reader.next(stop.signal, () => {});
    stop.abort();
    await expect(waiting).rejects.toBeInstanceOf(StoppedError);
  });
});
