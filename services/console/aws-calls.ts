import type { AwsCalls } from '../shared/aws-calls.ts';

/** What the console calls, all of it reading; `infra/` grants it. It never reads a shard, so looking slows no consumer. */
export const consoleCalls = {
  stream: ['ListShards'],
  leases: ['Scan'],
  records: ['GetItem'],
  anomalies: ['Query'],
  state: ['Query'],
  deadLetters: ['Scan'],
} as const satisfies AwsCalls;
