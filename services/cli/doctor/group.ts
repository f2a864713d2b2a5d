import { type DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { DeadLetterQueue } from '../../consumer/dead-letters/dead-letter-queue.ts';
import type { Clock } from '../../shared/clock.ts';
import { groupShards, shardOfLease } from '../../shared/kcl/group-shards.ts';
import { damagedLease, fromRow, type Lease } from '../../shared/kcl/lease-row.ts';
import { listShards } from '../../shared/list-shards.ts';
import type { Target } from '../target.ts';
import { type Check, callFailed, ok, problem, warning } from './check.ts';

/** Is each shard that can be read held by somebody? */
export async function checkLeases({ dynamodb, kinesis, leaseTable, stream }: Target): Promise<Check> {
  let leases: Map<string, Lease>;
  let damaged: string[];
  try {
    ({ leases, damaged } = await leasesOf(dynamodb, leaseTable, stream));
  } catch (error) {
    return callFailed('leases', 'dynamodb:Scan', leaseTable, error);
  }
  if (damaged.length > 0) {
    return problem(
      'leases',
      `${damaged.length} rows of ${leaseTable} have no checkpoint or counter that can be used: ${damaged.slice(0, 3).join(', ')}`,
      'nobody reads their shards; delete the rows, and the shards are read from the starting position on',
    );
  }
  if (leases.size === 0) {
    return warning('leases', `${leaseTable} has none of ${stream}`, 'start the consumer: it makes them');
  }
  return shardsHeld(kinesis, stream, leases);
}

async function shardsHeld(
  kinesis: KinesisClient,
  stream: string,
  leases: ReadonlyMap<string, Lease>,
): Promise<Check> {
  try {
    const group = groupShards(await listShards(kinesis, stream), leases).filter(({ startable }) => startable);
    const free = group.filter(({ lease }) => lease?.leaseOwner === undefined);
    if (free.length === 0) return ok('leases', `${group.length} shards to read, all held`);
    const names = free.slice(0, 3).map(({ shard }) => shard.shardId);
    return warning(
      'leases',
      `${free.length} of ${group.length} shards are held by nobody: ${names.join(', ')}`,
      'are the pods of the consumer running? weir lag shows what waits',
    );
  } catch (error) {
    return callFailed('leases', 'kinesis:ListShards', stream, error);
  }
}

async function leasesOf(
  client: DynamoDBClient,
  table: string,
  stream: string,
): Promise<{ leases: Map<string, Lease>; damaged: string[] }> {
  const leases = new Map<string, Lease>();
  const damaged: string[] = [];
  for await (const { Items = [] } of paginateScan({ client }, { TableName: table })) {
    for (const row of Items) {
      const lease = fromRow(row);
      const shardId = lease && shardOfLease(lease.leaseKey, stream);
      if (lease && shardId) leases.set(shardId, lease);
      const key = damagedLease(row);
      if (key !== undefined && shardOfLease(key, stream)) damaged.push(key);
    }
  }
  return { leases, damaged };
}

/** Are there dead letters? */
export async function checkDeadLetters(
  { dynamodb, kinesis, deadLetterTable }: Target,
  clock: Clock,
): Promise<Check> {
  try {
    const queue = new DeadLetterQueue({ dynamodb, kinesis, table: deadLetterTable, clock });
    const reasons = new Map<string, number>();
    for await (const { reason } of queue.list()) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    if (reasons.size === 0) return ok('dead letters', 'none');
    const found = Array.from(reasons, ([reason, n]) => `${n} ${reason}`).join(', ');
    return warning('dead letters', found, 'weir dlq list; docs/how-to/redrive-dead-letters.md');
  } catch (error) {
    return callFailed('dead letters', 'dynamodb:Scan', deadLetterTable, error);
  }
}
