import type { AwsCalls } from '../shared/aws-calls.ts';

/** What the producer calls; `infra/` grants it. */
export const producerCalls = {
  stream: ['DescribeStreamSummary', 'ListShards', 'PutRecords'],
} as const satisfies AwsCalls;
