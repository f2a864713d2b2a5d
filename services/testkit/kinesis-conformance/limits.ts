import { GetRecordsCommand, PutRecordsCommand, UpdateShardCountCommand } from '@aws-sdk/client-kinesis';
import { expect } from 'vitest';
import { streamActive } from '../provision.ts';
import type { Bench } from './conformance.ts';

const SHARD = 'shardId-000000000000';
const THROTTLED = 'ProvisionedThroughputExceededException';
const HALF_MIB = 512 * 1024;

/** What a shard and a stream take and give in a time. */
export function limitRules(bench: Bench): void {
  const rule = bench.rule.bind(bench);
  const put = (StreamName: string, records: number, bytes: number) =>
    bench.client.send(
      new PutRecordsCommand({
        StreamName,
        Records: Array.from({ length: records }, () => ({ PartitionKey: 'k', Data: Buffer.alloc(bytes) })),
      }),
    );

  rule('a shard takes 1,000 records a second, and fails those above it one by one', async () => {
    const stream = await bench.stream(1);
    const answers = await Promise.all([500, 500, 500].map((records) => put(stream, records, 1)));
    const failed = answers.flatMap(({ Records = [] }) => Records.filter(({ ErrorCode }) => ErrorCode));
    expect(answers.reduce((sum, { FailedRecordCount = 0 }) => sum + FailedRecordCount, 0)).toBe(
      failed.length,
    );
    expect(failed.length).toBeGreaterThan(0);
    for (const { ErrorCode, SequenceNumber, ShardId } of failed) {
      expect([ErrorCode, SequenceNumber, ShardId]).toEqual([THROTTLED, undefined, undefined]);
    }
  });

  rule('a shard takes 1 MiB a second', async () => {
    const stream = await bench.stream(1);
    const answers = await Promise.all([1, 1, 1, 1].map((records) => put(stream, records, HALF_MIB - 100)));
    const failed = answers.reduce((sum, { FailedRecordCount = 0 }) => sum + FailedRecordCount, 0);
    expect([1, 2]).toContain(failed);
  });

  rule('a shard takes five reads a second', async () => {
    const stream = await bench.stream(1);
    const ShardIterator = await bench.iterator(stream, SHARD, { ShardIteratorType: 'TRIM_HORIZON' });
    const names = await Promise.all(
      Array.from({ length: 12 }, () =>
        bench.client.send(new GetRecordsCommand({ ShardIterator })).then(
          () => 'read',
          (error: Error) => error.name,
        ),
      ),
    );
    expect(new Set(names)).toEqual(new Set(['read', THROTTLED]));
  });

  rule('a shard gives 2 MiB a second, and closes for a while after more', async () => {
    const stream = await bench.stream(1);
    for (let i = 0; i < 3; i++) {
      await expect
        .poll(async () => (await put(stream, 1, 2 * HALF_MIB - 100)).FailedRecordCount ?? 0, {
          timeout: 4_000,
          interval: 200,
        })
        .toBe(0);
    }
    const ShardIterator = await bench.iterator(stream, SHARD, { ShardIteratorType: 'TRIM_HORIZON' });
    const read = () => bench.client.send(new GetRecordsCommand({ ShardIterator }));
    expect((await read()).Records?.length).toBe(3);
    await expect(read()).rejects.toMatchObject({ name: THROTTLED });
  });

  rule('a stream takes ten UpdateShardCount calls in 24 hours', async () => {
    const stream = await bench.stream(1);
    const scale = (TargetShardCount: number) =>
      bench.client.send(
        new UpdateShardCountCommand({ StreamName: stream, TargetShardCount, ScalingType: 'UNIFORM_SCALING' }),
      );
    for (let call = 0; call < 10; call++) {
      await scale(call % 2 === 0 ? 2 : 1);
      await streamActive(bench.patient, stream);
    }
    await expect(scale(2)).rejects.toMatchObject({ name: 'LimitExceededException' });
  });
}
