import {
  DescribeStreamSummaryCommand,
  MergeShardsCommand,
  PutRecordCommand,
  SplitShardCommand,
  UpdateShardCountCommand,
} from '@aws-sdk/client-kinesis';
import { expect } from 'vitest';
import { streamActive } from '../provision.ts';
import { type Bench, HASH_SPACE, type ListedShard, NEARLY, rangeOf, refused, textOf } from './conformance.ts';

const TRIM_HORIZON = { ShardIteratorType: 'TRIM_HORIZON' } as const;

/** SplitShard, MergeShards, UpdateShardCount, and what a reader sees of them. */
export function reshardRules(bench: Bench): void {
  const rule = bench.rule.bind(bench);
  const isOpen = (shard: ListedShard) => shard.SequenceNumberRange?.EndingSequenceNumber === undefined;
  const open = async (stream: string) => (await bench.shards(stream)).filter(isOpen);
  const openInOrder = async (stream: string) =>
    (await open(stream)).sort((a, b) => (rangeOf(a)[0] < rangeOf(b)[0] ? -1 : 1));
  const scale = (StreamName: string, TargetShardCount: number) =>
    bench.client.send(
      new UpdateShardCountCommand({ StreamName, TargetShardCount, ScalingType: 'UNIFORM_SCALING' }),
    );

  rule('a split closes the parent, and its two children share its range', async () => {
    const stream = await bench.stream(1);
    const [parent] = await bench.shards(stream);
    if (parent) await bench.split(stream, parent);
    const [closed, left, right, ...more] = await bench.shards(stream);
    expect(more).toEqual([]);
    expect(closed && isOpen(closed)).toBe(false);
    for (const child of [left, right]) {
      expect([child?.ParentShardId, child?.AdjacentParentShardId]).toEqual([closed?.ShardId, undefined]);
      expect(child && isOpen(child)).toBe(true);
    }
    if (!left || !right) throw new TypeError('two children were looked at above');
    expect([rangeOf(left), rangeOf(right)]).toEqual([
      [0n, HASH_SPACE / 2n - 1n],
      [HASH_SPACE / 2n, HASH_SPACE - 1n],
    ]);
  });

  rule('a closed shard ends with a sequence number above those of its records', async () => {
    const stream = await bench.stream(1);
    const numbers = await bench.put(stream, 2);
    const [parent] = await bench.shards(stream);
    if (parent) await bench.split(stream, parent);
    const [closed] = await bench.shards(stream);
    const ending = BigInt(closed?.SequenceNumberRange?.EndingSequenceNumber ?? 0);
    expect(ending).toBeGreaterThan(BigInt(numbers.at(-1) ?? 0));
  });

  rule('a closed shard is read to its end, which names its children, and they go on', async () => {
    const stream = await bench.stream(1);
    await bench.put(stream, 3);
    const [parent] = await bench.shards(stream);
    const waiting = await bench.iterator(stream, parent?.ShardId ?? '', { ShardIteratorType: 'LATEST' });
    if (parent) await bench.split(stream, parent);
    const after = await bench.put(stream, 2);
    const from = await bench.iterator(stream, parent?.ShardId ?? '', TRIM_HORIZON);
    const { records, last } = await bench.readOn(from, 2);
    expect(textOf(records)).toEqual(['0', '1', '2']);
    const [, left, right] = await bench.shards(stream);
    const children = [left, right].map((child) => ({
      ShardId: child?.ShardId,
      ParentShards: [parent?.ShardId],
      HashKeyRange: child?.HashKeyRange,
    }));
    const byId = (a: { ShardId?: string | undefined }, b: { ShardId?: string | undefined }) =>
      String(a.ShardId) < String(b.ShardId) ? -1 : 1;
    for (const end of [last, (await bench.readOn(waiting)).last]) {
      expect(end.NextShardIterator).toBeUndefined();
      expect([...(end.ChildShards ?? [])].sort(byId)).toEqual(children);
    }
    const onward = await bench.readOn(await bench.iterator(stream, left?.ShardId ?? '', TRIM_HORIZON));
    expect(textOf(onward.records)).toEqual(['0', '1']);
    // What a child gets is after all that its parent had.
    expect(BigInt(after[0] ?? 0)).toBeGreaterThan(BigInt(records.at(-1)?.SequenceNumber ?? 0));
  });

  rule('a merge closes both parents, and the child has their ranges', async () => {
    const stream = await bench.stream(2);
    const [one, other] = await bench.shards(stream);
    await bench.patient.send(
      new MergeShardsCommand({
        StreamName: stream,
        ShardToMerge: one?.ShardId,
        AdjacentShardToMerge: other?.ShardId,
      }),
    );
    await streamActive(bench.patient, stream);
    const [child, ...more] = await open(stream);
    expect(more).toEqual([]);
    expect([child?.ParentShardId, child?.AdjacentParentShardId].sort()).toEqual([
      one?.ShardId,
      other?.ShardId,
    ]);
    expect(child && rangeOf(child)).toEqual([0n, HASH_SPACE - 1n]);
    for (const parent of [one, other]) {
      const { last } = await bench.readOn(await bench.iterator(stream, parent?.ShardId ?? '', TRIM_HORIZON));
      expect(last.NextShardIterator).toBeUndefined();
      expect(last.ChildShards?.map(({ ShardId }) => ShardId)).toEqual([child?.ShardId]);
    }
  });

  rule('while a stream is UPDATING it takes records and no other change', async () => {
    const stream = await bench.stream(2);
    await scale(stream, 3);
    const { StreamDescriptionSummary } = await bench.client.send(
      new DescribeStreamSummaryCommand({ StreamName: stream }),
    );
    expect(StreamDescriptionSummary?.StreamStatus).toBe('UPDATING');
    await bench.client.send(
      new PutRecordCommand({ StreamName: stream, PartitionKey: 'k', Data: Buffer.from('x') }),
    );
    await refused(scale(stream, 2), 'ResourceInUseException');
    await streamActive(bench.patient, stream);
  });

  rule('UpdateShardCount leaves shards that cover all hash keys, each with its lineage', async () => {
    const stream = await bench.stream(2);
    for (const target of [4, 3]) {
      const answer = await scale(stream, target);
      expect(answer).toMatchObject({ StreamName: stream, TargetShardCount: target });
      await streamActive(bench.patient, stream);
      const known = new Set((await bench.shards(stream)).map(({ ShardId }) => ShardId));
      let next = 0n;
      for (const shard of await openInOrder(stream)) {
        const [start, end] = rangeOf(shard);
        expect(start).toBe(next);
        next = end + 1n;
        if (shard.ParentShardId) expect(known).toContain(shard.ParentShardId);
      }
      expect([next, (await open(stream)).length]).toEqual([HASH_SPACE, target]);
    }
  });

  rule('UpdateShardCount leaves shards of equal size', async () => {
    const stream = await bench.stream(2);
    await scale(stream, 3);
    await streamActive(bench.patient, stream);
    for (const shard of await openInOrder(stream)) {
      const [start, end] = rangeOf(shard);
      const off = end - start + 1n - HASH_SPACE / 3n;
      expect(off > -NEARLY && off < NEARLY).toBe(true);
    }
  });

  rule('UpdateShardCount gives at most double, at least half', async () => {
    const stream = await bench.stream(4);
    for (const target of [9, 1]) await refused(scale(stream, target), 'LimitExceededException');
    expect(await open(stream)).toHaveLength(4);
  });

  rule('a shard that was closed is not split or merged again', async () => {
    const stream = await bench.stream(2);
    const [one, other] = await bench.shards(stream);
    if (one) await bench.split(stream, one);
    const split = bench.client.send(
      new SplitShardCommand({ StreamName: stream, ShardToSplit: one?.ShardId, NewStartingHashKey: '1000' }),
    );
    await refused(split, 'InvalidArgumentException', 'ResourceInUseException');
    const merge = bench.client.send(
      new MergeShardsCommand({
        StreamName: stream,
        ShardToMerge: one?.ShardId,
        AdjacentShardToMerge: other?.ShardId,
      }),
    );
    await refused(merge, 'InvalidArgumentException', 'ResourceInUseException');
  });

  rule('what does not adjoin is not merged', async () => {
    const stream = await bench.stream(3);
    const [first, , third] = await bench.shards(stream);
    const merge = bench.client.send(
      new MergeShardsCommand({
        StreamName: stream,
        ShardToMerge: first?.ShardId,
        AdjacentShardToMerge: third?.ShardId,
      }),
    );
    await refused(merge, 'InvalidArgumentException');
  });

  rule('a hash key that leaves a side empty, or is none, does not split a shard', async () => {
    const stream = await bench.stream(1);
    const [first] = await bench.shards(stream);
    for (const NewStartingHashKey of ['0', String(HASH_SPACE - 1n), 'x']) {
      const split = bench.client.send(
        new SplitShardCommand({ StreamName: stream, ShardToSplit: first?.ShardId, NewStartingHashKey }),
      );
      await refused(split, 'InvalidArgumentException', 'ValidationException');
    }
  });
}
