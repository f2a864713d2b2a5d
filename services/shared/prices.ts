/**
 * List prices in USD, without tax, discounts and free tier. They differ by region and change: one table, one date.
 * Sources: aws.amazon.com/kinesis/data-streams/pricing, aws.amazon.com/fargate/pricing.
 */
export const PRICES = {
  region: 'us-east-1',
  /** When the table was last looked through. */
  date: '2025-11',
  kinesis: {
    /** A provisioned shard, an hour. */
    shardHour: 0.015,
  },
  fargate: {
    vcpuHour: 0.04048,
    gibHour: 0.004445,
  },
} as const;
