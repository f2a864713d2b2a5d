import type { AwsCalls } from '../shared/aws-calls.ts';

/** What the consumer's pods call; `infra/` grants it. */
export const podCalls = {
  stream: ['DescribeStreamSummary', 'GetRecords', 'GetShardIterator', 'ListShards'],
  streamConsumers: ['DescribeStreamConsumer', 'RegisterStreamConsumer', 'SubscribeToShard'],
  records: ['BatchWriteItem'],
  state: ['BatchGetItem', 'BatchWriteItem', 'UpdateItem'],
  leases: ['DeleteItem', 'GetItem', 'PutItem', 'Scan', 'UpdateItem'],
  deadLetters: ['BatchWriteItem'],
} as const satisfies AwsCalls;

/** What the Lambda variant calls. The event source mapping reads the stream with rights of its own. */
export const lambdaCalls = {
  stream: ['ListShards'],
  records: ['BatchWriteItem'],
  state: ['BatchGetItem', 'BatchWriteItem', 'UpdateItem'],
  deadLetters: ['BatchWriteItem'],
} as const satisfies AwsCalls;
