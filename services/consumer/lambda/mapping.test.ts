import type { KinesisStreamEvent } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { createDynamoDBClient } from '../../shared/aws.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import {
  EventSourceMapping,
  type MappedRecord,
  type MappingOptions,
  type MappingReport,
} from '../../testkit/event-source-mapping.ts';
import { type FaultProxy, type ProxiedCall, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { TestStack } from '../../testkit/stack.ts';
import { DeadLetterQueue } from '../dead-letters/dead-letter-queue.ts';
import { givenUpRecords } from '../dead-letters/given-up.ts';
import { chainScores, event, mapped, newSandbox, SHARD, timeLeft } from './fixtures.ts';

/** As `infra/stacks/lambda-consumer.ts` has it, but for times. */
const AS_DEPLOYED = {
  batchSize: 20,
  parallelizationFactor: 2,
  bisectBatchOnFunctionError: true,
  reportBatchItemFailures: true,
  maximumRetryAttempts: 3,
};
const BUDGET_MS = 5_000;

let stack: TestStack;
let proxy: FaultProxy;
let dynamodb: ReturnType<typeof createDynamoDBClient>;
let streamArn: string;
/** Whether a write to the tables fails for now. */
let fails: (call: ProxiedCall) => boolean;

beforeEach(async () => {
  fails = () => false;
  proxy = await startFaultProxy(inject('dynamodbEndpoint'), {
    before: async (call) =>
      fails(call) ? { kind: 'error', status: 500, type: 'InternalServerError' } : undefined,
    after: async () => {},
  });
  stack = await TestStack.create(
    { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') },
    { shards: 1 },
  );
  streamArn = `arn:aws:kinesis:us-east-1:000000000000:stream/${stack.resources.stream}`;
  dynamodb = createDynamoDBClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    dynamodbEndpoint: proxy.endpoint,
    maxAttempts: 1,
  });
});
afterEach(async () => {
  dynamodb.destroy();
  await stack.close();
  await proxy.stop();
});

/** Our function in a sandbox of its own each time. */
async function invoke(given: KinesisStreamEvent, budgetMs = BUDGET_MS): Promise<unknown> {
  const { handler, close } = newSandbox(dynamodb, stack.resources, { writeRetryMs: 100 });
  try {
    return await handler(given, timeLeft(budgetMs));
  } finally {
    close();
  }
}

function run(
  records: readonly MappedRecord[],
  options: Partial<MappingOptions> = {},
  call: (given: KinesisStreamEvent) => Promise<unknown> = invoke,
): Promise<MappingReport> {
  return new EventSourceMapping({ streamArn, ...AS_DEPLOYED, ...options }, call).run(SHARD, records);
}

const ordinary = (n: number) => mapped(n, `s${n % 3}`, event(n, `s${n % 3}`));
const stream = (count: number) => Array.from({ length: count }, (_, n) => ordinary(n));
const without = (records: readonly MappedRecord[], ...numbers: number[]) =>
  records.filter((_, n) => !numbers.includes(n));

async function items() {
  const found = await stack.records();
  return found
    .map(({ id, amount, anomaly_score }) => [id, amount, anomaly_score])
    .sort(([a], [b]) => String(a).localeCompare(String(b), 'en', { numeric: true }));
}
const deadLetters = async () =>
  (await stack.deadLetters())
    .filter(({ chunk }) => chunk === 0)
    .map(({ sequence_number, reason }) => [sequence_number, reason])
    .sort();

/** What an operator does with the objects in the bucket of failed batches. */
async function importAll({ givenUp }: MappingReport): Promise<DeadLetterQueue> {
  const { kinesis, resources } = stack;
  const table = resources.deadLetterTable;
  const queue = new DeadLetterQueue({ dynamodb: stack.dynamodb, kinesis, table, clock });
  for (const batch of givenUp) {
    for (const { letters, stream: name } of givenUpRecords(JSON.stringify(batch)))
      await queue.add(letters, name);
  }
  return queue;
}

describe('our function behind a mapping as it is deployed', () => {
  it('keeps poison of every kind itself: nothing is bisected, given up, lost or out of order', async () => {
    const records = stream(60);
    records[7] = mapped(7, 's1', 'no JSON');
    records[21] = mapped(21, 's0', JSON.stringify({ source: 's0' }));
    const large = { source: 's1', amount: 34, request_id: 'id-34', pad: 'x'.repeat(410_000) };
    records[34] = mapped(34, 's1', JSON.stringify(large));
    fails = ({ body }) => body.includes('"id-50"');
    const { givenUp, invocations } = await run(records);
    expect(givenUp).toEqual([]);
    expect(invocations.flat()).toHaveLength(60);
    expect(await deadLetters()).toEqual([
      ['1007', 'record-not-json'],
      ['1021', 'event-invalid'],
      ['1034', 'item-refused'],
      ['1050', 'item-refused'],
    ]);
    // What DynamoDB refuses was scored: its source goes on from there.
    const refused = ['id-34', 'id-50'];
    const scores = chainScores(without(records, 7, 21)).filter(([id]) => !refused.includes(id));
    expect(await items()).toEqual(scores);
  });

  it('loses only what it crashes on, alone, and that can be redriven', async () => {
    const records = stream(60);
    const report = await run(records, {}, async (given) => {
      const numbers = given.Records.map(({ kinesis }) => kinesis.sequenceNumber);
      if (numbers.includes('1025')) throw new Error('Runtime exited with error: signal: killed');
      return invoke(given);
    });
    expect(report.givenUp).toMatchObject([
      { requestContext: { condition: 'RetryAttemptsExhausted' }, KinesisBatchInfo: { batchSize: 1 } },
    ]);
    expect(await items()).toEqual(chainScores(without(records, 25)));
    const queue = await importAll(report);
    expect(await deadLetters()).toEqual([['1025', 'batch-given-up']]);
    const [letter] = await stack.deadLetters();
    expect(await queue.redrive(String(letter?.id))).toMatchObject({ kind: 'redriven' });
  });

  it('has all that it did not store in what the mapping gave up, when the table was down for longer', async () => {
    const records = stream(80);
    let invocations = 0;
    fails = ({ operation }) => operation === 'BatchWriteItem' && invocations > 1 && invocations <= 6;
    const report = await run(
      records,
      { parallelizationFactor: 1, bisectBatchOnFunctionError: false },
      (given) => {
        invocations++;
        return invoke(
          given,
          fails({ operation: 'BatchWriteItem', path: '/', body: Buffer.of() }) ? 400 : BUDGET_MS,
        );
      },
    );
    const lost = report.givenUp.flatMap(({ payload }) =>
      payload.Records.map(({ kinesis }) => Number(kinesis.sequenceNumber) - 1_000),
    );
    expect(lost).toHaveLength(20);
    expect(await items()).toEqual(chainScores(without(records, ...lost)));
    await importAll(report);
    expect((await deadLetters()).map(([n]) => Number(n) - 1_000)).toEqual(lost);
    // With a state of their sources, the same event again would not do: later records are in it.
    for (const { payload } of report.givenUp) await invoke(payload);
    expect((await items()).map(([id]) => id)).toEqual(without(records, ...lost).map((r) => idOf(r)));
  });

  it('has in the dead letters what was given up for its age, whole and with its aggregates apart', async () => {
    const report = await run(stream(3), { maximumRecordAgeInSeconds: 60 });
    expect(report.invocations).toEqual([]);
    expect(report.givenUp[0]?.requestContext.condition).toBe('MaximumRecordAgeExceeded');
    const queue = await importAll(report);
    await importAll(report);
    expect((await deadLetters()).map(([n]) => n)).toEqual(['1000', '1001', '1002']);
    const { data } = await queue.read(`${stack.resources.stream}/${SHARD}/1001`);
    expect(data.toString()).toBe(event(1, 's1'));
  });
});

const idOf = ({ data }: MappedRecord) => JSON.parse(Buffer.from(data).toString()).request_id;
