import {
  DeregisterStreamConsumerCommand,
  DescribeStreamConsumerCommand,
  type KinesisClient,
  ListStreamConsumersCommand,
  MergeShardsCommand,
  PutRecordCommand,
  RegisterStreamConsumerCommand,
  type StartingPosition,
  SubscribeToShardCommand,
  type SubscribeToShardEvent,
  type SubscribeToShardEventStream,
} from '@aws-sdk/client-kinesis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKinesisClient, createSubscribingClient } from '../../shared/aws.ts';
import { EMULATOR_CREDENTIALS } from '../emulators.ts';
import { type KinesisDouble, startKinesisDouble } from './kinesis-double.ts';
import { VirtualClock } from './virtual-clock.ts';

const STREAM = 'stream';
const STREAM_ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/stream';
const SHARDS = ['shardId-000000000000', 'shardId-000000000001'] as const;
const CHANGE_MS = 1_000;

let clock: VirtualClock;
let double: KinesisDouble;
let client: KinesisClient;
let subscriber: KinesisClient;
/** Ends all subscriptions: the client's `destroy` does not. */
let over: AbortController;

beforeEach(async () => {
  over = new AbortController();
  clock = new VirtualClock();
  double = await startKinesisDouble({ clock, changeMs: CHANGE_MS });
  double.createStream(STREAM, 2);
  const options = {
    region: 'us-east-1',
    kinesisEndpoint: double.endpoint,
    credentials: EMULATOR_CREDENTIALS,
    maxAttempts: 1,
  };
  client = createKinesisClient(options);
  subscriber = createSubscribingClient(options);
});
afterEach(async () => {
  over.abort();
  client.destroy();
  subscriber.destroy();
  await double.stop();
});

async function register(name = 'app'): Promise<string> {
  const { Consumer } = await client.send(
    new RegisterStreamConsumerCommand({ StreamARN: STREAM_ARN, ConsumerName: name }),
  );
  clock.advance(CHANGE_MS);
  return Consumer?.ConsumerARN ?? '';
}

const put = (text: string) =>
  client.send(
    new PutRecordCommand({
      StreamName: STREAM,
      PartitionKey: 'k',
      ExplicitHashKey: '0',
      Data: Buffer.from(text),
    }),
  );

/** A subscription as a test reads it: event by event. */
class Subscribed {
  readonly #events: AsyncIterator<SubscribeToShardEventStream>;

  private constructor(events: AsyncIterable<SubscribeToShardEventStream>) {
    this.#events = events[Symbol.asyncIterator]();
  }

  static async to(
    ConsumerARN: string,
    position: StartingPosition,
    shard: string = SHARDS[0],
  ): Promise<Subscribed> {
    const { EventStream } = await subscriber.send(
      new SubscribeToShardCommand({ ConsumerARN, ShardId: shard, StartingPosition: position }),
      { abortSignal: over.signal },
    );
    if (!EventStream) throw new Error('no events');
    return new Subscribed(EventStream);
  }

  /** @returns undefined at the end. */
  async next(): Promise<SubscribeToShardEvent | undefined> {
    const { value, done } = await this.#events.next();
    return done ? undefined : value.SubscribeToShardEvent;
  }
}

const texts = (event: SubscribeToShardEvent | undefined) =>
  event?.Records?.map(({ Data }) => Buffer.from(Data ?? []).toString());
const HORIZON: StartingPosition = { Type: 'TRIM_HORIZON' };

describe('enhanced fan-out of the double', () => {
  it('registers consumers, lists them page by page, and lets them go', async () => {
    const arn = await register('b');
    await register('a');
    await expect(register('a')).rejects.toMatchObject({ name: 'ResourceInUseException' });
    const page = await client.send(new ListStreamConsumersCommand({ StreamARN: STREAM_ARN, MaxResults: 1 }));
    const { NextToken } = page;
    const rest = await client.send(new ListStreamConsumersCommand({ StreamARN: STREAM_ARN, NextToken }));
    expect([...(page.Consumers ?? []), ...(rest.Consumers ?? [])].map((c) => c.ConsumerName)).toEqual([
      'a',
      'b',
    ]);
    await client.send(new DeregisterStreamConsumerCommand({ ConsumerARN: arn }));
    const described = await client.send(new DescribeStreamConsumerCommand({ ConsumerARN: arn }));
    expect(described.ConsumerDescription).toMatchObject({
      ConsumerStatus: 'DELETING',
      StreamARN: STREAM_ARN,
    });
    clock.advance(CHANGE_MS);
    await expect(
      client.send(new DescribeStreamConsumerCommand({ StreamARN: STREAM_ARN, ConsumerName: 'b' })),
    ).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  it('refuses a subscription of a consumer that is not active yet', async () => {
    const { Consumer } = await client.send(
      new RegisterStreamConsumerCommand({ StreamARN: STREAM_ARN, ConsumerName: 'new' }),
    );
    await expect(Subscribed.to(Consumer?.ConsumerARN ?? '', HORIZON)).rejects.toMatchObject({
      name: 'ResourceInUseException',
    });
  });

  it('pushes what is there and what comes, and goes on after a continuation', async () => {
    const arn = await register();
    await put('1');
    const first = await Subscribed.to(arn, HORIZON);
    expect(texts(await first.next())).toEqual(['1']);
    const coming = first.next();
    await put('2');
    const second = await coming;
    expect(texts(second)).toEqual(['2']);
    expect(second?.MillisBehindLatest).toBe(0);
    clock.advance(5_000);
    const resumed = await Subscribed.to(arn, {
      Type: 'AFTER_SEQUENCE_NUMBER',
      SequenceNumber: second?.ContinuationSequenceNumber,
    });
    await put('3');
    expect(texts(await resumed.next())).toEqual(['3']);
  });

  it('sends an empty event every five seconds, and ends after five minutes', async () => {
    const arn = await register();
    const subscribed = await Subscribed.to(arn, { Type: 'LATEST' });
    for (let i = 0; i < 2; i++) {
      const next = subscribed.next();
      await waitForSleep();
      clock.advance(5_000);
      expect(await next).toMatchObject({ Records: [], ContinuationSequenceNumber: expect.any(String) });
    }
    const last = subscribed.next();
    await waitForSleep();
    clock.advance(290_000);
    expect(texts(await last) ?? []).toEqual([]);
    expect(await subscribed.next()).toBeUndefined();
    expect(double.subscriptions).toBe(0);
  });

  it('refuses a second subscription within five seconds, and lets a later one take over', async () => {
    const arn = await register();
    const first = await Subscribed.to(arn, HORIZON);
    clock.advance(1_000);
    await expect(Subscribed.to(arn, HORIZON)).rejects.toMatchObject({ name: 'ResourceInUseException' });
    await Subscribed.to(arn, HORIZON, SHARDS[1]);
    const taken = first.next();
    clock.advance(4_000);
    await Subscribed.to(arn, HORIZON);
    await expect(taken.then(() => first.next())).rejects.toMatchObject({ name: 'ResourceInUseException' });
    await expect(Subscribed.to(arn, HORIZON)).rejects.toMatchObject({ name: 'LimitExceededException' });
  });

  it('names the children at the end of a shard, and ends', async () => {
    const arn = await register();
    await put('1');
    const subscribed = await Subscribed.to(arn, HORIZON);
    expect(texts(await subscribed.next())).toEqual(['1']);
    const ending = subscribed.next();
    await client.send(
      new MergeShardsCommand({
        StreamName: STREAM,
        ShardToMerge: SHARDS[0],
        AdjacentShardToMerge: SHARDS[1],
      }),
    );
    clock.advance(CHANGE_MS);
    const last = await ending;
    expect(last?.ContinuationSequenceNumber).toBeUndefined();
    expect(last?.ChildShards?.map(({ ShardId }) => ShardId)).toEqual(['shardId-000000000002']);
    expect(await subscribed.next()).toBeUndefined();
  });

  it.each([
    ['error', 'InternalFailureException', 'InternalFailureException'],
    ['garble', undefined, 'Error'],
  ] as const)('befalls a subscription with: %s', async (does, type, name) => {
    const arn = await register();
    await put('1');
    double.faults.next({ kind: 'subscription', does, afterEvents: 1, ...(type ? { type } : {}) });
    const subscribed = await Subscribed.to(arn, HORIZON);
    expect(texts(await subscribed.next())).toEqual(['1']);
    await expect(subscribed.next()).rejects.toMatchObject({ name });
  });

  it('breaks the connection of a subscription: to the SDK, that looks like its end', async () => {
    const arn = await register();
    double.faults.next({ kind: 'subscription', does: 'cut' });
    const subscribed = await Subscribed.to(arn, HORIZON);
    expect(await subscribed.next()).toBeUndefined();
    expect(double.subscriptions).toBe(0);
  });
});

/** Until the double's push loop has come to wait for its clock. */
async function waitForSleep(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
