import { type KinesisClient, ListShardsCommand, type Shard } from '@aws-sdk/client-kinesis';

/** A shard as ListShards names it. */
export interface ShardInfo {
  shardId: string;
  parentShardIds: readonly string[];
  /** Decimal, both ends included. */
  hashKeyRange: { starting: string; ending: string };
  /** False once the shard was split or merged: it takes no more records. */
  open: boolean;
}

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
