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

/** How calls name a stream: by name, or by ARN, which also works for a stream of another account. */
export function streamRef(stream: string): { StreamName: string } | { StreamARN: string } {
  return stream.startsWith('arn:') ? { StreamARN: stream } : { StreamName: stream };
}

/**
 * All shards of the stream that retention has not removed, closed ones included.
 *
 * @param stream its name or ARN.
 */
export async function listShards(client: KinesisClient, stream: string): Promise<ShardInfo[]> {
  const shards: ShardInfo[] = [];
  let NextToken: string | undefined;
  do {
    const page = await client.send(new ListShardsCommand(NextToken ? { NextToken } : streamRef(stream)));
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
