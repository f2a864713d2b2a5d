import { MergeShardsCommand, SplitShardCommand } from '@aws-sdk/client-kinesis';
import { listShards, type ShardInfo } from '../../services/shared/list-shards.ts';
import type { KinesisDouble } from '../../services/testkit/kinesis-double/kinesis-double.ts';
import { streamActive } from '../../services/testkit/provision.ts';
import type { TestStack } from '../../services/testkit/stack.ts';
import type { TableWatch } from './table-watch.ts';

const MAX_OPEN = 6;

/** Splits one of the open shards in the middle, by somebody whose calls are let alone; not when there are many. */
export async function splitShard(stack: TestStack, pick: number): Promise<void> {
  const { kinesis, resources } = stack;
  const open = await openShards(stack);
  const shard = open[pick % open.length];
  if (!shard || open.length >= MAX_OPEN) return;
  const { starting, ending } = shard.hashKeyRange;
  const middle = (BigInt(starting) + BigInt(ending) + 1n) / 2n;
  const input = {
    StreamName: resources.stream,
    ShardToSplit: shard.shardId,
    NewStartingHashKey: String(middle),
  };
  await kinesis.send(new SplitShardCommand(input));
  await streamActive(kinesis, resources.stream);
}

/** Merges two neighbours, if there are two. */
export async function mergeShards(stack: TestStack, pick: number): Promise<void> {
  const { kinesis, resources } = stack;
  const open = await openShards(stack);
  if (open.length < 2) return;
  const at = pick % (open.length - 1);
  const [one, other] = [open[at], open[at + 1]];
  const input = {
    StreamName: resources.stream,
    ShardToMerge: one?.shardId,
    AdjacentShardToMerge: other?.shardId,
  };
  await kinesis.send(new MergeShardsCommand(input));
  await streamActive(kinesis, resources.stream);
}

/** Those of the shards that are not read to their last record, or to their end. @param records all that the stream holds. */
export async function unread(
  { kinesis, resources }: TestStack,
  records: ReturnType<KinesisDouble['records']>,
  watch: TableWatch,
): Promise<string[]> {
  const last = new Map(records.map((record) => [record.shardId, record.sequenceNumber]));
  const shards = await listShards(kinesis, resources.stream);
  return shards
    .filter(({ shardId, open }) => {
      const sequenceNumber = last.get(shardId);
      if (open) return sequenceNumber !== undefined && !watch.done(shardId, sequenceNumber);
      return !watch.done(shardId);
    })
    .map(({ shardId }) => shardId);
}

/** In the order of their hash keys. */
async function openShards({ kinesis, resources }: TestStack): Promise<ShardInfo[]> {
  const shards = await listShards(kinesis, resources.stream);
  const start = ({ hashKeyRange }: ShardInfo) => BigInt(hashKeyRange.starting);
  return shards.filter(({ open }) => open).sort((a, b) => (start(a) < start(b) ? -1 : 1));
}
