import { type KinesisClient, ListShardsCommand, type Shard } from '@aws-sdk/client-kinesis';
import type { ShardInfo } from '../record.ts';

/** All shards of the stream that retention has not removed, closed ones included. */
export async function listShards(client: KinesisClient, stream: string): Promise<ShardInfo[]> {
  const shards: ShardInfo[] = [];
  let NextToken: string | undefined;
  do {
    const page = await client.send(new ListShardsCommand(NextToken ? { NextToken } : { StreamName: stream }));
    for (const shard of page.Shards ?? []) shards.push(toShardInfo(shard));
    NextToken = page.NextToken;
  } while (NextToken);
  return shards;
}

function toShardInfo(shard: Shard): ShardInfo {
  return {
    shardId: shard.ShardId ?? '',
    parentShardIds: [shard.ParentShardId, shard.AdjacentParentShardId].filter((id) => id !== undefined),
    hashKeyRange: {
      starting: shard.HashKeyRange?.StartingHashKey ?? '',
      ending: shard.HashKeyRange?.EndingHashKey ?? '',
    },
    open: shard.SequenceNumberRange?.EndingSequenceNumber === undefined,
  };
}
