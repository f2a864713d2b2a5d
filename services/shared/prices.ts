/**
 * List prices in USD, without tax, discounts and free tier. They differ by region and change: one table, one date.
 * Sources: aws.amazon.com/<service>/pricing for kinesis/data-streams, dynamodb, lambda, fargate, s3, ecr, kms,
 * secrets-manager, cloudwatch. A month has 730 hours, a GB 2^30 bytes.
 */
export const PRICES = {
  region: 'us-east-1',
  /** Year and month as of which the prices hold. */
  date: '2025-11',
  kinesis: {
    /** A provisioned shard, an hour. */
    shardHour: 0.015,
    /** A million PUT payload units: 25 KB each, or part of it, of a record. */
    millionPutUnits: 0.014,
    /** A shard whose retention is above 24 hours and at most 7 days, an hour. */
    extendedRetentionShardHour: 0.02,
    /** A shard that an enhanced fan-out consumer reads, an hour. */
    fanoutShardHour: 0.015,
    /** A GB that an enhanced fan-out consumer gets. */
    fanoutGb: 0.013,
    /** An on-demand stream, an hour. */
    onDemandStreamHour: 0.04,
    /** A GB written to an on-demand stream, each record counted as whole KB. */
    onDemandInGb: 0.08,
    /** A GB read from an on-demand stream. */
    onDemandOutGb: 0.04,
  },
  dynamodb: {
    /** On demand, a million write request units of 1 KB. Half of what it was before November 2024. */
    millionWriteUnits: 0.625,
    /** On demand, a million read request units of 4 KB. */
    millionReadUnits: 0.125,
    storageGbMonth: 0.25,
    /** Point-in-time recovery, of the table's size. */
    recoveryGbMonth: 0.2,
  },
  lambda: {
    millionRequests: 0.2,
    /** arm64. */
    gbSecond: 0.0000133334,
  },
  fargate: {
    vcpuHour: 0.04048,
    gibHour: 0.004445,
  },
  fixed: {
    kmsKeyMonth: 1,
    secretMonth: 0.4,
    alarmMonth: 0.1,
    dashboardMonth: 3,
    ecrGbMonth: 0.1,
  },
} as const;
