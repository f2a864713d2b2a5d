import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { idFromPosition } from '../../shared/ids.ts';
import { TestStack } from '../../testkit/stack.ts';
import { testPipeline, WHOLE_RANGE } from '../pipeline/fixtures.ts';
import { DeadLetterQueue } from './dead-letter-queue.ts';

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
    sizeBytes: data.length,
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
