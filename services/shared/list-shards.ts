import { type KinesisClient, ListShardsCommand, type Shard } from '@aws-sdk/client-kinesis';
import { WeirError } from './errors.ts';

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

/** What ListShards answered, and when. */
export interface ShardListing {
  shards: ShardInfo[];
  /** By Kinesis's own clock, in ms since the epoch, in whole seconds, rounded down; `undefined` when it didn't tell. */
  at: number | undefined;
}

/**
 * All shards of the stream that retention has not removed, closed ones included.
 *
 * @param stream its name or ARN.
 * @throws what Kinesis answers, or an `AbortError` when `signal` aborts.
 */
export async function listShards(
  client: KinesisClient,
  stream: string,
  signal?: AbortSignal,
): Promise<ShardInfo[]> {
  return (await listShardsAt(client, stream, signal)).shards;
}

/** The same with the time of the first answer: whatever is made later isn't in the listing. */
export async function listShardsAt(
  client: KinesisClient,
  stream: string,
  signal?: AbortSignal,
): Promise<ShardListing> {
  const shards: ShardInfo[] = [];
  let at: number | undefined;
  let NextToken: string | undefined;
  do {
    const command = new ListShardsCommand(NextToken ? { NextToken } : streamRef(stream));
    command.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        at ??= dateOf(result.response);
        return result;
      },
      { step: 'deserialize', priority: 'low' },
    );
    const page = await client.send(command, signal ? { abortSignal: signal } : {});
    for (const shard of page.Shards ?? []) shards.push(toShardInfo(shard));
    if (page.NextToken !== undefined && page.NextToken === NextToken)
      throw new WeirError('listing-endless', `ListShards of ${stream} gave the same page token again`);
    NextToken = page.NextToken;
  } while (NextToken);
  return { shards, at };
}

/** The time in the header of an HTTP answer. */
function dateOf(response: unknown): number | undefined {
  const { headers } = response as { headers?: Record<string, string | undefined> };
  const at = Date.parse(headers?.date ?? '');
  return Number.isNaN(at) ? undefined : at;
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
