import type { KinesisStreamEvent } from 'aws-lambda';
import { describe, expect, it } from 'vitest';
import { EventSourceMapping, type MappedRecord, type MappingOptions } from './event-source-mapping.ts';

const STREAM_ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/stream';
const SHARD = 'shardId-000000000000';
const NOW = 1_700_000_000_000;
const clock = { now: () => NOW, monotonic: () => 0, sleep: async () => {} };

const records = (count: number, keys = 1, ageMs = 0): MappedRecord[] =>
  Array.from({ length: count }, (_, i) => ({
    partitionKey: `key-${i % keys}`,
    sequenceNumber: String(100 + i),
    data: Buffer.from(String(i)),
    arrivedAt: NOW - ageMs,
  }));
const numbers = (event: KinesisStreamEvent) => event.Records.map(({ kinesis }) => kinesis.sequenceNumber);

async function run(
  options: Partial<MappingOptions>,
  given: MappedRecord[],
  invoke: (numbers: string[]) => unknown = () => ({ batchItemFailures: [] }),
) {
  const mapping = new EventSourceMapping({ streamArn: STREAM_ARN, clock, ...options }, async (event) =>
    invoke(numbers(event)),
  );
  return mapping.run(SHARD, given);
}

describe('an event source mapping', () => {
  it('gives batches in order', async () => {
    const { invocations } = await run({ batchSize: 2 }, records(5));
    expect(invocations).toEqual([['100', '101'], ['102', '103'], ['104']]);
  });

  it('comes again from the lowest sequence number that was reported as failed', async () => {
    let failed = false;
    const { invocations } = await run({ reportBatchItemFailures: true, batchSize: 5 }, records(6), () => {
      if (failed) return null;
      failed = true;
      return { batchItemFailures: [{ itemIdentifier: '103' }, { itemIdentifier: '102' }] };
    });
    expect(invocations).toEqual([['100', '101', '102', '103', '104'], ['102', '103', '104'], ['105']]);
  });

  it.each([[{ itemIdentifier: '' }], [{ itemIdentifier: null }], [{ wrong: '101' }], [null]])(
    'takes %j for a failure of the whole batch',
    async (failure) => {
      const { invocations, givenUp } = await run(
        { reportBatchItemFailures: true, maximumRetryAttempts: 1 },
        records(2),
        () => ({ batchItemFailures: [failure] }),
      );
      expect(invocations).toEqual([
        ['100', '101'],
        ['100', '101'],
      ]);
      expect(givenUp).toHaveLength(1);
    },
  );

  it('does not look at the answer unless it is told to', async () => {
    const { invocations } = await run({}, records(2), () => ({
      batchItemFailures: [{ itemIdentifier: '100' }],
    }));
    expect(invocations).toHaveLength(1);
  });

  it('bisects down to the poison, gives that up after its retries, and goes on', async () => {
    const { invocations, givenUp } = await run(
      { bisectBatchOnFunctionError: true, maximumRetryAttempts: 2, batchSize: 4 },
      records(5),
      (batch) => {
        if (batch.includes('102')) throw new Error('poison');
      },
    );
    expect(invocations.at(-1)).toEqual(['104']);
    expect(invocations.filter((batch) => batch.join() === '102')).toHaveLength(3);
    expect(givenUp).toMatchObject([
      {
        requestContext: { condition: 'RetryAttemptsExhausted', approximateInvokeCount: 3 },
        KinesisBatchInfo: {
          shardId: SHARD,
          startSequenceNumber: '102',
          endSequenceNumber: '102',
          batchSize: 1,
        },
      },
    ]);
  });

  it('gives up what is too old, unseen', async () => {
    const { invocations, givenUp } = await run({ maximumRecordAgeInSeconds: 60 }, records(2, 1, 61_000));
    expect(invocations).toEqual([]);
    expect(givenUp[0]?.requestContext.condition).toBe('MaximumRecordAgeExceeded');
  });

  it('works on partition keys side by side, never on one twice at once', async () => {
    const busy = new Set<string>();
    let together = 0;
    const mapping = new EventSourceMapping(
      { streamArn: STREAM_ARN, batchSize: 2, parallelizationFactor: 2 },
      async ({ Records }) => {
        const keys = new Set(Records.map(({ kinesis }) => kinesis.partitionKey));
        for (const key of keys) {
          expect(busy.has(key)).toBe(false);
          busy.add(key);
        }
        together = Math.max(together, busy.size);
        await new Promise((resolve) => setTimeout(resolve, 5));
        for (const key of keys) busy.delete(key);
      },
    );
    const report = await mapping.run(SHARD, records(20, 4));
    expect(report.invocations.flat().sort()).toEqual(records(20).map(({ sequenceNumber }) => sequenceNumber));
    expect(together).toBeGreaterThan(2);
  });
});
