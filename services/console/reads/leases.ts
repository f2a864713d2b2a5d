import { type DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { shardOfLease } from '../../shared/kcl/group-shards.ts';
import { fromRow, type Lease } from '../../shared/kcl/lease-row.ts';

/** A page of a Scan is 1 MB at most, about 1,500 leases. */
const MAX_PAGES = 8;

/** The leases of the stream by shard. Eventually consistent: half the price, and a second doesn't matter to people. */
export async function readLeases(
  dynamodb: DynamoDBClient,
  table: string,
  stream: string,
  signal: AbortSignal,
): Promise<Map<string, Lease>> {
  const leases = new Map<string, Lease>();
  let from: Record<string, never> | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await dynamodb.send(
      new ScanCommand({ TableName: table, ...(from ? { ExclusiveStartKey: from } : {}) }),
      { abortSignal: signal },
    );
    for (const row of answer.Items ?? []) {
      const lease = fromRow(row);
      const shardId = lease && shardOfLease(lease.leaseKey, stream);
      if (lease && shardId) leases.set(shardId, lease);
    }
    from = answer.LastEvaluatedKey as typeof from;
    if (!from) break;
  }
  return leases;
}
