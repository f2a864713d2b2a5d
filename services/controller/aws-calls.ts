import type { AwsCalls } from '../shared/aws-calls.ts';

/** What the controller calls to see how far a group is behind: its lease rows, and the stream where nobody reports. */
export const observeCalls = {
  stream: ['DescribeStreamSummary', 'GetRecords', 'GetShardIterator', 'ListShards'],
  leases: ['Scan'],
} as const satisfies AwsCalls;

/** What it calls, where it may change shards, to see what producers are refused (`WRITE_THROTTLES`). */
export const throttleCalls = { metrics: ['GetMetricData'] } as const satisfies AwsCalls;

/** What it calls besides to change the shards; granted only where its mode is `Full`. */
export const reshardCalls = {
  stream: ['MergeShards', 'SplitShard', 'UpdateShardCount'],
} as const satisfies AwsCalls;
