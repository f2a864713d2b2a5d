import type { KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { Detector } from '../../detectors/detector.ts';
import { createDynamoDBClient, createKinesisClient } from '../../shared/aws.ts';
import { Aggregator } from '../../shared/kpl/aggregate.ts';
import { listShards } from '../../shared/list-shards.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import {
  EventSourceMapping,
  type MappedRecord,
  type MappingOptions,
} from '../../testkit/event-source-mapping.ts';
import { type FaultProxy, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { lambdaFunction } from '../../testkit/lambda-bundle.ts';
import { TestStack } from '../../testkit/stack.ts';
import { chainScores, event, mapped, newSandbox, SHARD, STREAM_ARN, timeLeft } from './fixtures.ts';
import type { HandlerAnswer } from './handler.ts';

let stack: TestStack;
let proxy: FaultProxy;
let dynamodb: ReturnType<typeof createDynamoDBClient>;
let closing: (() => void)[];

beforeEach(async () => {
  proxy = await startFaultProxy(inject('dynamodbEndpoint'));
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  dynamodb = createDynamoDBClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    dynamodbEndpoint: proxy.endpoint,
    maxAttempts: 1,
  });
  closing = [];
});
afterEach(async () => {
  for (const close of closing) close();
  dynamodb.destroy();
  await stack.close();
  await proxy.stop();
});

const newHandler = (champion?: Detector) => {
  const made = newSandbox(dynamodb, stack.resources, champion ? { champion } : {});
  closing.push(made.close);
  return made;
};

/** The records as one batch, as the mapping gives them. */
async function batchOf(records: MappedRecord[]): Promise<KinesisStreamEvent> {
  let batch: KinesisStreamEvent | undefined;
  const mapping = new EventSourceMapping({ streamArn: STREAM_ARN, batchSize: 10_000 }, async (given) => {
    batch = given;
  });
  await mapping.run(SHARD, records);
  if (!batch) throw new Error('no batch');
  return batch;
}

const map = (options: Partial<MappingOptions>, invoke: (given: KinesisStreamEvent) => Promise<unknown>) =>
  new EventSourceMapping({ streamArn: STREAM_ARN, reportBatchItemFailures: true, ...options }, invoke);

/** What the items come to: `[id, amount, score]` in the order of ids. */
async function items() {
  const found = await stack.records();
  return found
    .map(({ id, amount, anomaly_score }) => [id, amount, anomaly_score] as [string, number, number])
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
}

describe('the function', () => {
  it('stores plain and aggregated records, keeps poison as dead letters, and tells both', async () => {
    const aggregator = new Aggregator();
    for (const n of [1, 2]) aggregator.add({ partitionKey: 's', data: Buffer.from(event(n, 's')) });
    const { handler, lines } = newHandler();
    const answer = await handler(
      await batchOf([
        mapped(0, 's', event(0, 's')),
        mapped(1, 'a', aggregator.encode()),
        mapped(2, 's', 'no event'),
        mapped(3, 's', event(3, 's')),
      ]),
      timeLeft(10_000),
    );
    expect(answer).toEqual({
      status: 'completed',
      processed_records: 4,
      failed_records: 0,
      batch_size: 4,
      batchItemFailures: [],
    });
    expect((await items()).map(([id]) => id)).toEqual(['id-0', 'id-1', 'id-2', 'id-3']);
    expect(await stack.deadLetters()).toMatchObject([{ reason: 'record-not-json', sequence_number: '1002' }]);
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        _aws: {
          Timestamp: expect.any(Number),
          CloudWatchMetrics: [
            {
              Namespace: 'KinesisECRML',
              Dimensions: [['StreamName']],
              Metrics: [{ Name: 'ProcessedRecords', Unit: 'Count' }],
            },
            {
              Namespace: 'KinesisECRML',
              Dimensions: [[]],
              Metrics: [
                { Name: 'ProcessingLatency', Unit: 'Milliseconds' },
                { Name: 'ErrorRate', Unit: 'Percent' },
              ],
            },
          ],
        },
        StreamName: 'stream',
        ProcessedRecords: 4,
        ProcessingLatency: expect.any(Number),
        ErrorRate: 25,
      },
    ]);
  });

  it('stops before its time is over, and reports the first record that is not done with', async () => {
    const records = Array.from({ length: 500 }, (_, n) => mapped(n, `s${n % 3}`, event(n, `s${n % 3}`)));
    const batch = await batchOf(records);
    const { handler } = newHandler();
    // The store takes the first 200 and nothing after them.
    const slow = { kind: 'latency', ms: 3_000 } as const;
    proxy.plan(
      'BatchWriteItem',
      ...Array.from({ length: 8 }, () => ({ kind: 'latency', ms: 0 }) as const),
      ...Array.from({ length: 50 }, () => slow),
    );
    const startedAt = performance.now();
    const answer = await handler(batch, timeLeft(1_500));
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect(answer).toMatchObject({ status: 'partial', processed_records: 200, failed_records: 300 });
    expect(answer.batchItemFailures).toEqual([{ itemIdentifier: '1200' }]);
    proxy.plan('BatchWriteItem');
    const rest = { Records: batch.Records.slice(200) };
    expect(await newHandler().handler(rest, timeLeft(10_000))).toMatchObject({ status: 'completed' });
    const undisturbed = chainScores(records);
    expect(await items()).toEqual(undisturbed);
  });

  it('reports the whole batch when there is no time at all', async () => {
    const { handler } = newHandler();
    const answer = await handler(await batchOf([mapped(0, 's', event(0, 's'))]), timeLeft(0));
    expect(answer).toMatchObject({ failed_records: 1, batchItemFailures: [{ itemIdentifier: '1000' }] });
    expect(await items()).toEqual([]);
  });

  it('stops in time when the shards are not listed, by a Kinesis that does not answer', async () => {
    const silent = await startFaultProxy(inject('kinesisEndpoint'));
    silent.always('ListShards', { kind: 'latency', ms: 20_000 });
    const kinesis = createKinesisClient({
      region: 'us-east-1',
      credentials: EMULATOR_CREDENTIALS,
      kinesisEndpoint: silent.endpoint,
    });
    closing.push(() => kinesis.destroy());
    const { handler, close } = newSandbox(dynamodb, stack.resources, {}, (signal) =>
      listShards(kinesis, stack.resources.stream, signal),
    );
    closing.push(close);
    try {
      const batch = await batchOf([mapped(0, 's', event(0, 's'))]);
      const startedAt = performance.now();
      const answer = await handler(batch, timeLeft(2_000));
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      expect(answer.batchItemFailures).toEqual([{ itemIdentifier: '1000' }]);
      silent.always('ListShards', { kind: 'latency', ms: 0 });
      expect(await handler(batch, timeLeft(10_000))).toMatchObject({ status: 'completed' });
    } finally {
      await silent.stop();
    }
  });

  it.each<[string, unknown, string]>([
    ['nothing', null, 'no list of Records'],
    ['an empty object', {}, 'no list of Records'],
    ['a text for records', { Records: 'abc' }, 'no list of Records'],
    ['no record', { Records: [null] }, 'record 0 is none'],
    ['a message of a queue', { Records: [{ eventSource: 'aws:sqs', body: '{}' }] }, '"aws:sqs"'],
  ])('refuses an event with %s, and says what it takes', async (_, given, message) => {
    const refused = newHandler().handler(given as KinesisStreamEvent, timeLeft(1_000));
    await expect(refused).rejects.toMatchObject({
      code: 'event-source-unknown',
      message: expect.stringMatching(new RegExp(`${message}.*event source mapping of a Kinesis stream`)),
    });
  });

  it('refuses a batch whole when one of its records lacks what each has', async () => {
    const good = await batchOf([mapped(0, 's', event(0, 's')), mapped(1, 's', event(1, 's'))]);
    const [first, second] = good.Records as [KinesisStreamRecord, KinesisStreamRecord];
    for (const lacking of ['data', 'sequenceNumber', 'partitionKey', 'approximateArrivalTimestamp']) {
      const bad = { ...second, kinesis: { ...second.kinesis, [lacking]: undefined } };
      const refused = newHandler().handler({ Records: [first, bad as KinesisStreamRecord] }, timeLeft(1_000));
      await expect(refused).rejects.toThrow('record 1 is none, of event source "aws:kinesis"');
    }
    expect(await items()).toEqual([]);
  });

  it('comes to what one worker would, two batches of a shard side by side, through failures', async () => {
    // Sources come plain and in aggregates whose key is not theirs: no order between the two.
    const records: MappedRecord[] = [];
    for (let n = 0; n < 240; ) {
      const aggregator = new Aggregator();
      for (let i = 0; i < 3; i++, n++)
        aggregator.add({ partitionKey: `s${n % 4}`, data: Buffer.from(event(n, `s${n % 4}`)) });
      records.push(mapped(n, 'a', aggregator.encode()));
      for (let i = 0; i < 3; i++, n++) records.push(mapped(n, `s${n % 4}`, event(n, `s${n % 4}`)));
    }
    let invocations = 0;
    const answers: HandlerAnswer[] = [];
    const mapping = map({ batchSize: 20, parallelizationFactor: 2 }, async (given) => {
      invocations++;
      if (invocations % 4 === 0) proxy.plan('BatchWriteItem', { kind: 'lost-answer' });
      if (invocations % 5 === 0) {
        // It does its work, and nobody learns of it.
        await newHandler().handler(given, timeLeft(10_000));
        throw new Error('Task timed out');
      }
      const answer = await newHandler().handler(given, timeLeft(10_000));
      answers.push(answer);
      return answer;
    });
    const { givenUp } = await mapping.run(SHARD, records);
    expect(givenUp).toEqual([]);
    expect(await items()).toEqual(chainScores(records));
  });

  it('runs as its own process behind a mapping', async () => {
    const lambda = lambdaFunction({
      bundle: 'services/consumer/lambda.ts',
      env: {
        ...stack.env,
        AWS_ENDPOINT_URL_DYNAMODB: proxy.endpoint,
        AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
      },
      timeoutMs: 10_000,
    });
    try {
      const records = Array.from({ length: 50 }, (_, n) => mapped(n, 's', event(n, 's', n * 100)));
      const { givenUp, invocations } = await map({ batchSize: 25 }, lambda.invoke).run(SHARD, records);
      expect(givenUp).toEqual([]);
      expect(invocations).toHaveLength(2);
      expect(await items()).toEqual(
        records.map((_, n) => [`id-${n}`, n * 100, Math.min((n * 100) / 1000, 2)]),
      );
      expect(lambda.output.filter((line) => line.includes('"ProcessedRecords":25'))).toHaveLength(2);
    } finally {
      await lambda.stop();
    }
  });
});
