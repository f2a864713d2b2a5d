import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamSummaryCommand,
  GetShardIteratorCommand,
  ListShardsCommand,
  MergeShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  SplitShardCommand,
  UpdateShardCountCommand,
} from '@aws-sdk/client-kinesis';
import { beforeAll, expect } from 'vitest';
import { type Bench, HASH_SPACE, NEARLY, rangeOf, refused } from './conformance.ts';

/** CreateStream, DescribeStreamSummary, DeleteStream. */
export function streamRules(bench: Bench): void {
  const rule = bench.rule.bind(bench);
  let stream: string;
  beforeAll(async () => {
    stream = await bench.stream(2);
  });

  rule('a new stream is CREATING, then ACTIVE', async () => {
    const StreamName = `${stream}-new`;
    const input = { StreamName, ShardCount: 3 };
    await bench.patient.send(new CreateStreamCommand(input));
    const describe = () => bench.patient.send(new DescribeStreamSummaryCommand({ StreamName }));
    expect(['CREATING', 'ACTIVE']).toContain((await describe()).StreamDescriptionSummary?.StreamStatus);
    await expect
      .poll(async () => (await describe()).StreamDescriptionSummary, { timeout: 5_000 })
      .toMatchObject({
        StreamName,
        StreamARN: expect.stringMatching(new RegExp(`^arn:aws:kinesis:.+:stream/${StreamName}$`)),
        StreamStatus: 'ACTIVE',
        StreamModeDetails: { StreamMode: 'PROVISIONED' },
        OpenShardCount: 3,
        RetentionPeriodHours: 24,
        StreamCreationTimestamp: expect.any(Date),
      });
    await refused(bench.patient.send(new CreateStreamCommand(input)), 'ResourceInUseException');
  });

  rule('a stream goes by its ARN too', async () => {
    const by = await bench.patient.send(new DescribeStreamSummaryCommand({ StreamName: stream }));
    const StreamARN = by.StreamDescriptionSummary?.StreamARN;
    const again = await bench.patient.send(new DescribeStreamSummaryCommand({ StreamARN }));
    expect(again.StreamDescriptionSummary?.StreamName).toBe(stream);
    expect((await bench.patient.send(new ListShardsCommand({ StreamARN }))).Shards).toHaveLength(2);
  });

  rule('a stream that is not there is ResourceNotFoundException, whatever is asked of it', async () => {
    const StreamName = `${stream}-none`;
    const record = { PartitionKey: 'k', Data: Buffer.from('x') };
    const { client } = bench;
    const calls = [
      client.send(new DescribeStreamSummaryCommand({ StreamName })),
      client.send(new ListShardsCommand({ StreamName })),
      client.send(new PutRecordCommand({ StreamName, ...record })),
      client.send(new PutRecordsCommand({ StreamName, Records: [record] })),
      client.send(
        new GetShardIteratorCommand({ StreamName, ShardId: 'shardId-0', ShardIteratorType: 'LATEST' }),
      ),
      client.send(new SplitShardCommand({ StreamName, ShardToSplit: 'shardId-0', NewStartingHashKey: '9' })),
      client.send(
        new MergeShardsCommand({ StreamName, ShardToMerge: 'shardId-0', AdjacentShardToMerge: 'shardId-1' }),
      ),
      client.send(
        new UpdateShardCountCommand({ StreamName, TargetShardCount: 2, ScalingType: 'UNIFORM_SCALING' }),
      ),
      client.send(new DeleteStreamCommand({ StreamName })),
    ];
    for (const call of calls) await refused(call, 'ResourceNotFoundException');
  });

  rule('a name that no stream can have is refused', async () => {
    const call = bench.client.send(new CreateStreamCommand({ StreamName: 'a/b', ShardCount: 1 }));
    await refused(call, 'ValidationException', 'InvalidArgumentException');
  });

  rule('a deleted stream is gone after a while', async () => {
    const StreamName = await bench.stream(1);
    await bench.patient.send(new DeleteStreamCommand({ StreamName }));
    await expect
      .poll(() => bench.patient.send(new ListShardsCommand({ StreamName })).catch((e: Error) => e.name), {
        timeout: 5_000,
      })
      .toBe('ResourceNotFoundException');
  });
}

/** ListShards: pages, filters, errors. */
export function listRules(bench: Bench): void {
  const rule = bench.rule.bind(bench);
  let stream: string;
  let beforeSplit: Date;
  let afterSplit: Date;
  const ids = ['0', '1', '2', '3', '4'].map((n) => `shardId-00000000000${n}`);
  const [first = '', second = '', third = '', left = '', right = ''] = ids;

  // Three shards, of which the first was split: 0 → 3, 4.
  beforeAll(async () => {
    stream = await bench.stream(3);
    const shards = await bench.shards(stream);
    await pause();
    beforeSplit = new Date();
    await pause();
    const [shard] = shards;
    if (shard) await bench.split(stream, shard);
    await pause();
    afterSplit = new Date();
  });
  // Timestamps of filters travel in seconds with three digits.
  const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
  const list = async (input: object) =>
    (await bench.patient.send(new ListShardsCommand(input))).Shards?.map(({ ShardId }) => ShardId);

  rule('the open shards cover all hash keys, evenly at first', async () => {
    const fresh = await bench.stream(4);
    const shards = await bench.shards(fresh);
    let next = 0n;
    for (const shard of shards) {
      const [start, end] = rangeOf(shard);
      expect(start).toBe(next);
      const off = end - start + 1n - HASH_SPACE / 4n;
      expect(off > -NEARLY && off < NEARLY).toBe(true);
      expect(shard.SequenceNumberRange?.StartingSequenceNumber).toMatch(/^\d{56}$/);
      expect(shard.SequenceNumberRange?.EndingSequenceNumber).toBeUndefined();
      next = end + 1n;
    }
    expect(next).toBe(HASH_SPACE);
  });

  rule('a list comes in pages, each by the token of the one before alone', async () => {
    const found: (string | undefined)[] = [];
    let NextToken: string | undefined;
    let pages = 0;
    do {
      const input = NextToken ? { NextToken, MaxResults: 2 } : { StreamName: stream, MaxResults: 2 };
      const page = await bench.patient.send(new ListShardsCommand(input));
      found.push(...(page.Shards ?? []).map(({ ShardId }) => ShardId));
      NextToken = page.NextToken;
      pages++;
    } while (NextToken && pages < 9);
    expect([found, pages]).toEqual([ids, 3]);
  });

  rule('the pages of a filtered list stay filtered', async () => {
    const page = await bench.patient.send(
      new ListShardsCommand({ StreamName: stream, MaxResults: 3, ShardFilter: { Type: 'AT_LATEST' } }),
    );
    const rest = await list({ NextToken: page.NextToken });
    expect([...(page.Shards ?? []).map(({ ShardId }) => ShardId), ...(rest ?? [])]).toEqual([
      second,
      third,
      left,
      right,
    ]);
  });

  rule('a token that is none, or comes with a stream name, is refused', async () => {
    const names = ['InvalidArgumentException', 'ExpiredNextTokenException', 'ValidationException'];
    await refused(list({ NextToken: 'bm9uZQ==' }), ...names);
    const { NextToken } = await bench.patient.send(
      new ListShardsCommand({ StreamName: stream, MaxResults: 1 }),
    );
    await refused(list({ NextToken, StreamName: stream }), 'InvalidArgumentException');
  });

  rule('a list goes on after a shard', async () => {
    expect(await list({ StreamName: stream, ExclusiveStartShardId: second })).toEqual([third, left, right]);
  });

  const filtered = (ShardFilter: object) => list({ StreamName: stream, ShardFilter });
  rule('filter FROM_TRIM_HORIZON gives all', async () => {
    expect(await filtered({ Type: 'FROM_TRIM_HORIZON' })).toEqual(ids);
  });
  rule('filter AT_LATEST gives the open ones', async () => {
    expect(await filtered({ Type: 'AT_LATEST' })).toEqual([second, third, left, right]);
  });
  rule('filter AT_TRIM_HORIZON gives those that were open then', async () => {
    expect(await filtered({ Type: 'AT_TRIM_HORIZON' })).toEqual([first, second, third]);
  });
  rule('filter AFTER_SHARD_ID gives those after it', async () => {
    expect(await filtered({ Type: 'AFTER_SHARD_ID', ShardId: third })).toEqual([left, right]);
  });
  rule('filter AT_TIMESTAMP gives those that were open then', async () => {
    expect(await filtered({ Type: 'AT_TIMESTAMP', Timestamp: beforeSplit })).toEqual([first, second, third]);
    expect(await filtered({ Type: 'AT_TIMESTAMP', Timestamp: afterSplit })).toEqual([
      second,
      third,
      left,
      right,
    ]);
  });
  rule('filter FROM_TIMESTAMP gives those that were open then or since', async () => {
    expect(await filtered({ Type: 'FROM_TIMESTAMP', Timestamp: beforeSplit })).toEqual(ids);
    expect(await filtered({ Type: 'FROM_TIMESTAMP', Timestamp: afterSplit })).toEqual([
      second,
      third,
      left,
      right,
    ]);
  });
  rule('a filter that lacks what it goes by is refused', async () => {
    for (const Type of ['AFTER_SHARD_ID', 'AT_TIMESTAMP', 'FROM_TIMESTAMP']) {
      await refused(filtered({ Type }), 'InvalidArgumentException', 'ValidationException');
    }
  });
}
