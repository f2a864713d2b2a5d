import {
  deregisterStreamConsumer,
  describeStreamConsumer,
  listStreamConsumers,
  registerStreamConsumer,
} from './consumers.ts';
import { createStream, deleteStream, mergeShards, splitShard, updateShardCount } from './control.ts';
import type { Call, Fault } from './faults.ts';
import { describeStreamSummary, listShards } from './list.ts';
import {
  type Input,
  internalFailure,
  KinesisError,
  limitExceeded,
  streamName,
  throttled,
} from './protocol.ts';
import { putRecord, putRecords, shardsWritten } from './put.ts';
import { getRecords, getShardIterator, shardRead } from './read.ts';
import type { KinesisService } from './service.ts';

/** Answers an object, ready JSON, or nothing. */
type Operation = (service: KinesisService, input: Input, fault: Fault | undefined) => unknown;

const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['CreateStream', createStream],
  ['DeleteStream', deleteStream],
  ['DeregisterStreamConsumer', deregisterStreamConsumer],
  ['DescribeStreamConsumer', describeStreamConsumer],
  ['DescribeStreamSummary', describeStreamSummary],
  ['GetRecords', getRecords],
  ['GetShardIterator', getShardIterator],
  ['ListShards', listShards],
  ['ListStreamConsumers', listStreamConsumers],
  ['MergeShards', mergeShards],
  ['PutRecord', putRecord],
  ['PutRecords', putRecords],
  ['RegisterStreamConsumer', registerStreamConsumer],
  ['SplitShard', splitShard],
  ['UpdateShardCount', updateShardCount],
]);

/**
 * Carries a call out and returns the body of its answer.
 *
 * @throws KinesisError what the service refuses, or what `fault` makes it refuse before anything is done.
 */
export function dispatch(
  service: KinesisService,
  operation: string,
  input: Input,
  fault: Fault | undefined,
): string {
  const run = OPERATIONS.get(operation);
  if (!run) throw new KinesisError('UnknownOperationException', `The double does not know ${operation}.`);
  if (fault) refuse(operation, fault);
  const answer = run(service, input, fault);
  return typeof answer === 'string' ? answer : answer ? JSON.stringify(answer) : '';
}

/** A call as a fault plan sees it. */
export function callOf(service: KinesisService, operation: string, input: Input): Call {
  return {
    operation,
    get stream() {
      return streamOf(input);
    },
    shardIds() {
      if (operation === 'PutRecord' || operation === 'PutRecords')
        return shardsWritten(service, operation, input);
      if (operation === 'SubscribeToShard') return [String(input.ShardId)];
      if (operation !== 'GetRecords' && operation !== 'GetShardIterator') return [];
      const shard = shardRead(operation, input);
      return shard === undefined ? [] : [shard];
    },
  };
}

function streamOf(input: Input): string | undefined {
  try {
    return streamName(input);
  } catch (error) {
    if (error instanceof KinesisError) return undefined;
    throw error;
  }
}

/** Refuses a call that a fault has befallen. @throws KinesisError */
export function refuse(operation: string, fault: Fault): void {
  // The fault of one shard is PutRecords' own business: the other shards' records are stored.
  if (operation === 'PutRecords' && fault.shardId !== undefined) return;
  if (fault.kind === 'internal-failure') throw internalFailure();
  if (fault.kind !== 'throttle') return;
  const data = ['PutRecord', 'PutRecords', 'GetRecords', 'GetShardIterator'].includes(operation);
  throw (data ? throttled : limitExceeded)(`Rate exceeded for ${operation}.`);
}
