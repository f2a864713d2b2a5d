import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { GetRecordsCommand, GetShardIteratorCommand } from '@aws-sdk/client-kinesis';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { createDynamoDBClient, createKinesisClient } from '../../shared/aws.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { idFromPosition } from '../../shared/ids.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type FaultProxy, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { TestStack } from '../../testkit/stack.ts';
import { chainDetector, replay, streamRecord, testPipeline, WHOLE_RANGE } from '../pipeline/fixtures.ts';
import type { StreamRecord } from '../record.ts';
import { type DeadLetterHead, DeadLetterQueue } from './dead-letter-queue.ts';

let stack: TestStack;
let queue: DeadLetterQueue;
beforeEach(async () => {
  stack = await TestStack.create(
    { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') },
    { shards: 1 },
  );
  const { dynamodb, kinesis, resources } = stack;
  queue = new DeadLetterQueue({ dynamodb, kinesis, table: resources.deadLetterTable, clock });
});
afterEach(() => stack.close());

async function letters() {
  const found = [];
  for await (const head of queue.list()) found.push(head);
  return found;
}

/** What the stream holds. */
async function bytesOnStream(): Promise<Buffer[]> {
  const { kinesis, resources } = stack;
  const { ShardIterator } = await kinesis.send(
    new GetShardIteratorCommand({
      StreamName: resources.stream,
      ShardId: 'shardId-000000000000',
      ShardIteratorType: 'TRIM_HORIZON',
    }),
  );
  const { Records = [] } = await kinesis.send(new GetRecordsCommand({ ShardIterator }));
  return Records.map(({ Data }) => Buffer.from(Data ?? []));
}
const onStream = async () => (await bytesOnStream()).map(String);

const event = (amount: number, more = {}) => JSON.stringify({ source: 's', amount, ...more });

/** Makes dead letters of what is fine: as a detector's bug did that was mended since. */
async function spoil(
  data: string,
  subSequenceNumber?: number,
  why = { reason: 'processing-failed', errorCode: 'TypeError' },
): Promise<string> {
  const { pipeline, close } = testPipeline(stack.dynamodb, stack.resources, {
    champion: {
      name: 'broken',
      stateVersion: 1,
      stateless: true,
      initial: () => undefined,
      encode: () => new Uint8Array(),
      decode: () => undefined,
      score: () => {
        throw new TypeError('a bug');
      },
    },
  });
  await pipeline.open({ hashKeyRange: WHOLE_RANGE }).process(
    [
      {
        shardId: 'shardId-000000000000',
        sequenceNumber: '4711',
        ...(subSequenceNumber === undefined ? {} : { subSequenceNumber }),
        partitionKey: 's',
        data: Buffer.from(data),
        arrivedAt: 1_700_000_000_123,
      },
    ],
    new AbortController().signal,
    () => {},
  );
  close();
  const [letter] = await letters();
  expect(letter).toMatchObject({
    ...why,
    sequenceNumber: '4711',
    subSequenceNumber,
    partitionKey: 's',
    arrivedAt: 1_700_000_000_123,
    sizeBytes: Buffer.byteLength(data),
  });
  return letter?.id ?? '';
}

describe('a redrive', () => {
  it('puts the record through the consumer again, and it is no dead letter any more', async () => {
    const id = await spoil(event(5, { request_id: 'r-1', note: 'x'.repeat(380_000) }));
    expect(await letters()).toHaveLength(1);
    expect(await stack.deadLetters()).toHaveLength(2);
    expect(await queue.redrive(id)).toMatchObject({ kind: 'redriven', shardId: 'shardId-000000000000' });
    expect(await stack.deadLetters()).toEqual([]);
    await stack.start('consumer', { STARTING_POSITION: 'TRIM_HORIZON' });
    await vi.waitFor(async () => expect(await stack.countRecords()).toBe(1), 10_000);
    expect((await stack.records())[0]).toMatchObject({ id: 'r-1', amount: 5 });
    await expect(queue.redrive(id)).rejects.toMatchObject({ code: 'dead-letter-not-found' });
  });

  it('keeps the identity of a record that had none but its position', async () => {
    const id = await spoil('  {"amount": 12345678901234567890, "source":"s"}', 3);
    await queue.redrive(id);
    await stack.start('consumer', { STARTING_POSITION: 'TRIM_HORIZON' });
    await vi.waitFor(async () => expect(await stack.countRecords()).toBe(1), 10_000);
    expect((await stack.records())[0]?.id).toBe(idFromPosition(stack.resources.stream, '4711', 3));
  });

  it.each(['all', 'anomalies'] as const)(
    'is no retry of the record it was, and counts once when it is made twice: STORE=%s',
    async (store) => {
      const { dynamodb, resources } = stack;
      const { signal } = new AbortController();
      const worker = (broken: boolean, from: number, events: readonly string[]) => {
        const chain = chainDetector();
        const { pipeline, close } = testPipeline(dynamodb, resources, {
          store,
          champion: {
            ...chain,
            score: (state, scorable) => {
              if (broken && scorable.amount === 5) throw new TypeError('a bug');
              return { ...chain.score(state as never, scorable), isAnomaly: true };
            },
          },
        });
        const processor = pipeline.open({ hashKeyRange: WHOLE_RANGE });
        const records = events.map((data, n) => ({
          ...streamRecord(from + n, 's', 0),
          data: Buffer.from(data),
        }));
        return processor
          .process(records, signal, () => {})
          .then(() => processor.flush(signal, () => {}))
          .finally(() => {
            processor.close();
            close();
          });
      };
      await worker(true, 0, [event(4, { request_id: 'a' }), event(5, { request_id: 'b' })]);
      const [letter] = await stack.deadLetters();
      const id = String(letter?.id);
      const others = { dynamodb, kinesis: stack.kinesis, table: resources.deadLetterTable, clock };
      await Promise.all([queue.redrive(id), new DeadLetterQueue(others).redrive(id)]);
      const redriven = await onStream();
      expect(redriven).toHaveLength(2);
      // The bug is mended; the two copies come in one slice or in two.
      await worker(false, 2, redriven.slice(0, 1));
      await worker(false, 3, [...redriven.slice(1), event(6, { request_id: 'c' })]);

      const replayed = chainDetector();
      const state = replayed.initial();
      const expected = [4, 5, 6].map(
        (amount) => replayed.score(state, { source: 's', amount, timestamp: 0 }).score,
      );
      const items = (await stack.records()).sort((a, b) => Number(a.amount) - Number(b.amount));
      expect(items.map(({ id, anomaly_score }) => [id, anomaly_score])).toEqual([
        ['a', expected[0]],
        ['b', expected[1]],
        ['c', expected[2]],
      ]);
      expect(await stack.deadLetters()).toEqual([]);
      const [row] = await stack.states();
      if (store === 'anomalies') expect(row?.rollup).toMatchObject({ count: 3, sum: 15 });
    },
  );

  it('of a record that was given up with its batch counts once, if it had been stored after all', async () => {
    const { dynamodb, resources } = stack;
    const { signal } = new AbortController();
    const work = async (records: readonly StreamRecord[]) => {
      const { pipeline, close } = testPipeline(dynamodb, resources);
      const processor = pipeline.open({ hashKeyRange: WHOLE_RANGE });
      await processor.process(records, signal, () => {});
      await processor.flush(signal, () => {});
      close();
    };
    const all = [0, 1, 2, 3].map((n) => streamRecord(n, 's', n));
    // The function was killed before it could answer; of the last record nothing was stored.
    await work(all.slice(0, 2));
    const given = [all[1], all[2]].map((record) => ({
      record: record as StreamRecord,
      reason: 'batch-given-up',
      errorCode: 'batch-given-up',
      message: 'RetryAttemptsExhausted',
    }));
    await queue.add(given, resources.stream);
    for (const { id } of await letters()) await queue.redrive(id);
    const redriven = (await onStream()).map((data, n) => ({
      ...streamRecord(10 + n, 's', 0),
      data: Buffer.from(data),
    }));
    await work([all[3] as StreamRecord, ...redriven]);
    const { verdicts } = replay([0, 1, 3, 2].map((n) => all[n] as StreamRecord));
    const scores = (await stack.records()).map((item) => [item.id, item.anomaly_score]);
    expect(Object.fromEntries(scores)).toEqual(
      Object.fromEntries(Array.from(verdicts, ([id, { score }]) => [id, score])),
    );
  });

  it('of a given-up record leaves alone what is known of it as a dead letter', async () => {
    const id = await spoil(event(5, { request_id: 'r-1' }));
    const { data } = await queue.read(id);
    const { shardId, sequenceNumber, partitionKey } = (await letters())[0] as DeadLetterHead;
    const record = { shardId, sequenceNumber, partitionKey, arrivedAt: 1_700_000_000_123, data };
    const why = { reason: 'batch-given-up', errorCode: 'batch-given-up', message: '' };
    expect(await queue.add([{ record, ...why }], stack.resources.stream)).toEqual([id]);
    expect(await letters()).toMatchObject([{ id, reason: 'processing-failed', errorCode: 'TypeError' }]);
  });

  it('keeps the identity of a record that begins with a byte order mark', async () => {
    const id = await spoil(`\ufeff${event(5)}`);
    await queue.redrive(id);
    const [text = ''] = await onStream();
    expect(text.startsWith('\ufeff')).toBe(true);
    expect(JSON.parse(text.slice(1))).toEqual({
      source: 's',
      amount: 5,
      request_id: idFromPosition(stack.resources.stream, '4711', 0),
      redriven_from: id,
    });
  });

  it('leaves the bytes of what is no UTF-8 as they are', async () => {
    const data = Buffer.from('{"source":"s","amount":1,"note":"\xff"}', 'latin1');
    const why = { reason: 'record-not-utf8', errorCode: 'record-not-utf8', message: '' };
    const record = { ...streamRecord(1, 's', 1), data };
    const [id = ''] = await queue.add([{ record, ...why }], stack.resources.stream);
    await queue.redrive(id, { force: true });
    expect(await bytesOnStream()).toEqual([data]);
  });

  it('keeps what grows beyond what the stream takes by its identity, and says so before', async () => {
    const data = Buffer.from(event(5, { pad: '' }).replace('""', `"${'x'.repeat(1_048_500)}"`));
    const why = { reason: 'processing-failed', errorCode: 'TypeError', message: '' };
    const record = { ...streamRecord(1, 's', 1), data };
    const [id = ''] = await queue.add([{ record, ...why }], stack.resources.stream);
    const kept = { reason: 'record-too-large', message: expect.stringContaining('takes 1048576') };
    expect(await queue.hindrance(id)).toMatchObject(kept);
    expect(await queue.hindrance(id, { force: true })).toMatchObject(kept);
    expect(await queue.redrive(id)).toMatchObject({ kind: 'kept', ...kept });
    expect(await letters()).toHaveLength(1);
  });

  it('does not need the time at which its record arrived, whatever the table has there', async () => {
    const id = await spoil('{"amount":5}');
    await stack.dynamodb.send(
      new UpdateItemCommand({
        TableName: stack.resources.deadLetterTable,
        Key: { id: { S: id }, chunk: { N: '0' } },
        UpdateExpression: 'SET approximate_arrival_timestamp = :at',
        ExpressionAttributeValues: { ':at': { N: '1e30' } },
      }),
    );
    expect(await letters()).toMatchObject([{ id, arrivedAt: undefined }]);
    expect(await queue.redrive(id)).toMatchObject({ kind: 'redriven' });
  });

  it('touches no letter that has not all its items', async () => {
    const id = await spoil('{"amount":5}');
    await stack.dynamodb.send(
      new UpdateItemCommand({
        TableName: stack.resources.deadLetterTable,
        Key: { id: { S: id }, chunk: { N: '0' } },
        UpdateExpression: 'SET chunks = :many',
        ExpressionAttributeValues: { ':many': { N: '99999999' } },
      }),
    );
    const incomplete = { code: 'dead-letter-incomplete', message: expect.stringContaining('1 of 99999999') };
    await expect(queue.redrive(id)).rejects.toMatchObject(incomplete);
    await expect(queue.purge(id)).rejects.toMatchObject(incomplete);
  });

  it("removes no letter by an answer that is not the service's own", async () => {
    const id = await spoil(event(5, { request_id: 'r-1' }));
    const proxies = await Promise.all(
      [inject('kinesisEndpoint'), inject('dynamodbEndpoint')].map((target) => startFaultProxy(target)),
    );
    const [kinesisProxy, dynamodbProxy] = proxies as [FaultProxy, FaultProxy];
    const aws = {
      ...{ region: 'us-east-1', credentials: EMULATOR_CREDENTIALS },
      ...{ kinesisEndpoint: kinesisProxy.endpoint, dynamodbEndpoint: dynamodbProxy.endpoint },
    };
    const kinesis = createKinesisClient(aws);
    const dynamodb = createDynamoDBClient(aws);
    const table = stack.resources.deadLetterTable;
    const behind = new DeadLetterQueue({ dynamodb, kinesis, table, clock });
    const unexpected = { code: 'answer-unexpected' };
    try {
      kinesisProxy.plan('PutRecord', { kind: 'answer', text: '{}' });
      await expect(behind.redrive(id)).rejects.toMatchObject(unexpected);
      dynamodbProxy.plan('BatchWriteItem', { kind: 'answer', text: '{}' });
      await expect(behind.purge(id)).rejects.toMatchObject(unexpected);
      expect(await letters()).toMatchObject([{ id }]);
      await behind.purge(id);
      expect(await letters()).toEqual([]);
    } finally {
      kinesis.destroy();
      dynamodb.destroy();
      for (const proxy of proxies) await proxy.stop();
    }
  });

  it('keeps what would fail again, unless it is forced', async () => {
    const id = await spoil('{"source":"s"}', undefined, {
      reason: 'event-invalid',
      errorCode: 'event-invalid',
    });
    expect(await queue.redrive(id)).toMatchObject({ kind: 'kept', reason: 'event-invalid' });
    expect(await letters()).toHaveLength(1);
    expect(await queue.redrive(id, { force: true })).toMatchObject({ kind: 'redriven' });
    expect(await letters()).toHaveLength(0);
  });
});
