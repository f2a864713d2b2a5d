import {
  type KinesisClient,
  MergeShardsCommand,
  ScalingType,
  SplitShardCommand,
  UpdateShardCountCommand,
} from '@aws-sdk/client-kinesis';
import { streamRef } from '../../shared/list-shards.ts';
import type { ReshardStep } from '../scaling/reshard.ts';
import { problemOf } from './problems.ts';

/** What became of a reshard call. */
export type ReshardOutcome =
  | { kind: 'accepted' }
  /** AWS refused it and did not count it. `reason` is a condition's, `problem` a phrase. */
  | { kind: 'refused'; reason: string; problem: string }
  /** AWS says that there were too many calls: of ours, or of somebody else's. */
  | { kind: 'budget-spent'; problem: string }
  /** Nobody knows: the answer was lost, or the stream is being changed, by this call or another. The next look tells. */
  | { kind: 'open'; problem: string };

const ACTIONS: Readonly<Record<ReshardStep['kind'], string>> = {
  'update-shard-count': 'kinesis:UpdateShardCount',
  'split-shard': 'kinesis:SplitShard',
  'merge-shards': 'kinesis:MergeShards',
};

/**
 * Asks Kinesis for one step, once.
 *
 * @param client one that doesn't retry: a second try after a lost answer would be told ResourceInUse by the effect of the
 *   first, and pass for refused.
 * @param stream name or ARN.
 */
export async function reshard(
  client: KinesisClient,
  stream: string,
  step: ReshardStep,
  signal: AbortSignal,
): Promise<ReshardOutcome> {
  try {
    await send(client, stream, step, signal);
    return { kind: 'accepted' };
  } catch (error) {
    return outcomeOf(ACTIONS[step.kind], stream, error);
  }
}

async function send(
  client: KinesisClient,
  stream: string,
  step: ReshardStep,
  abortSignal: AbortSignal,
): Promise<void> {
  const ref = streamRef(stream);
  switch (step.kind) {
    case 'update-shard-count':
      await client.send(
        new UpdateShardCountCommand({
          ...ref,
          TargetShardCount: step.target,
          ScalingType: ScalingType.UNIFORM_SCALING,
        }),
        { abortSignal },
      );
      return;
    case 'split-shard':
      await client.send(
        new SplitShardCommand({
          ...ref,
          ShardToSplit: step.shardId,
          NewStartingHashKey: step.newStartingHashKey,
        }),
        { abortSignal },
      );
      return;
    case 'merge-shards':
      await client.send(
        new MergeShardsCommand({
          ...ref,
          ShardToMerge: step.shardId,
          AdjacentShardToMerge: step.adjacentShardId,
        }),
        { abortSignal },
      );
  }
}

function outcomeOf(action: string, stream: string, error: unknown): ReshardOutcome {
  const problem = problemOf(action, stream, error);
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  switch (name) {
    case 'ResourceInUseException':
      return { kind: 'open', problem: `${stream} is being changed` };
    case 'LimitExceededException':
      // The same error for too many calls a second as for too many a day; only the words differ.
      return /rate exceeded/i.test(message)
        ? { kind: 'refused', reason: 'Throttled', problem }
        : { kind: 'budget-spent', problem: `${action} on ${stream} was refused: ${message}` };
    case 'ResourceNotFoundException':
      return { kind: 'refused', reason: 'StreamNotFound', problem };
    case 'InvalidArgumentException':
    case 'ValidationException':
      return {
        kind: 'refused',
        reason: 'InvalidStep',
        problem: `${action} on ${stream} was refused: ${message}`,
      };
    default:
  }
  if (/AccessDenied|NotAuthorized|UnrecognizedClient/.test(name)) {
    return { kind: 'refused', reason: 'PermissionMissing', problem };
  }
  return { kind: 'open', problem };
}
