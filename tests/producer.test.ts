import { setTimeout as sleep } from 'node:timers/promises';
import { GetRecordsCommand, GetShardIteratorCommand, ListShardsCommand } from '@aws-sdk/client-kinesis';
import { afterEach, describe, expect, inject, it, vi } from 'vitest';
import { createStream } from '../services/testkit/provision.ts';
import { TestStack } from '../services/testkit/stack.ts';
import { eventsOf, type StreamEvent } from '../services/testkit/stream-events.ts';

const endpoints = { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') };
let stack: TestStack;

afterEach(() => stack.close());

async function streamed(): Promise<StreamEvent[]> {
  const StreamName = stack.resources.stream;
  const { Shards = [] } = await stack.kinesis.send(new ListShardsCommand({ StreamName }));
  const found = [];
  for (const { ShardId } of Shards) {
    let { ShardIterator } = await stack.kinesis.send(
      new GetShardIteratorCommand({ StreamName, ShardId, ShardIteratorType: 'TRIM_HORIZON' }),
    );
    for (;;) {
      const answer = await stack.kinesis.send(new GetRecordsCommand({ ShardIterator }));
      for (const { Data, SequenceNumber, PartitionKey } of answer.Records ?? []) {
        found.push(
          ...eventsOf({
            shardId: ShardId!,
            sequenceNumber: SequenceNumber!,
            partitionKey: PartitionKey!,
            data: Data!,
          }),
        );
      }
      if (!answer.NextShardIterator || answer.Records?.length === 0) break;
      ShardIterator = answer.NextShardIterator;
    }
  }
  return found;
}

interface Sent {
  payload: { request_id: string };
  kinesis_response: { shard_id: string; sequence_number: string; sub_sequence_number?: number };
}

describe('the producer process', () => {
  it('answers each of many callers with its own event’s place in the stream', async () => {
    stack = await TestStack.create(endpoints, { shards: 3 });
    const producer = await stack.start('producer');
    const url = `http://127.0.0.1:${producer.ports.port}/send`;
    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, n) => {
        const body = JSON.stringify({ source: `s${n % 20}`, amount: n });
        const response = await fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        expect(response.status).toBe(200);
        return (await response.json()) as Sent;
      }),
    );
    expect(await producer.stop()).toEqual({ code: 0, signal: null });
    const stored = await streamed();
    const place = new Map(
      stored.map(({ event, shardId, sequenceNumber, subSequenceNumber }) => [
        event.request_id,
        [shardId, sequenceNumber, subSequenceNumber],
      ]),
    );
    expect(stored.some(({ subSequenceNumber }) => subSequenceNumber !== undefined)).toBe(true);
    expect(stored).toHaveLength(300);
    for (const { payload, kinesis_response } of answers) {
      const { shard_id, sequence_number, sub_sequence_number } = kinesis_response;
      expect(place.get(payload.request_id)).toEqual([shard_id, sequence_number, sub_sequence_number]);
    }
  });

  it('is not ready until the stream is there, answers 503 meanwhile, and then serves', async () => {
    stack = await TestStack.create(endpoints);
    const late = `${stack.resources.stream}-late`;
    const producer = await stack.start('producer', { STREAM_NAME: late, EVENT_DEADLINE_MS: '500' });
    const url = `http://127.0.0.1:${producer.ports.port}`;
    const send = () =>
      fetch(`${url}/send`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"amount":1}',
      });
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const refused = await send();
    expect([refused.status, Number(refused.headers.get('retry-after'))]).toEqual([503, expect.any(Number)]);
    expect(await refused.json()).toMatchObject({ code: 'sink-unavailable' });
    await createStream(stack.kinesis, late, 1);
    await vi.waitFor(async () => expect((await fetch(`${url}/ready`)).status).toBe(200), 10_000);
    expect((await send()).status).toBe(200);
  });

  it('answers everybody it accepted before it stops', async () => {
    stack = await TestStack.create(endpoints);
    const producer = await stack.start('producer');
    const url = `http://127.0.0.1:${producer.ports.port}/send`;
    let accepted = 0;
    let stopping = false;
    const senders = Array.from({ length: 8 }, async (_, sender) => {
      for (let n = 0; !stopping || n === 0; n++) {
        const body = JSON.stringify({ source: `s${sender}`, amount: n });
        const response = await fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        }).catch((error: TypeError) => {
          // Once it stopped listening a connection is refused: nothing was accepted then.
          expect(stopping, String(error.cause)).toBe(true);
        });
        if (!response) return;
        await response.arrayBuffer();
        if (response.status === 200) accepted++;
      }
    });
    await sleep(400);
    stopping = true;
    expect(await producer.stop()).toEqual({ code: 0, signal: null });
    await Promise.all(senders);
    expect(accepted).toBeGreaterThan(8);
    expect(await streamed()).toHaveLength(accepted);
  });
});
