import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { Checkpoint } from './position.ts';

/** A row of a DynamoDB table, as the low-level client reads and writes it. */
export type Row = Record<string, AttributeValue>;

/** One shard's lease: who works on it and how far it is. */
export interface Lease {
  /** The shard id, for a table of one stream. */
  leaseKey: string;
  /** The worker that holds it; `undefined` when nobody does. */
  leaseOwner: string | undefined;
  /** Grows with every write of the owner. An observer that sees it stand still for a lease's time may take it. */
  leaseCounter: number;
  checkpoint: Checkpoint;
  ownerSwitchesSinceCheckpoint: number;
  parentShardIds: readonly string[];
  childShardIds: readonly string[];
  hashKeyRange: { starting: string; ending: string } | undefined;
  /**
   * Ours, not KCL's: when reading from `LATEST` began, in ms since the epoch. A worker that dies before its
   * first checkpoint would else start at a later `LATEST` and skip what came between.
   */
  startedAt: number | undefined;
}

/**
 * A lease as the row that KCL 3 writes (DynamoDBLeaseSerializer of KCL 3.5): an attribute that has no value is
 * left out, sets are string sets, `entityType` is `LEASE`.
 */
export function toRow(lease: Lease): Row {
  return {
    leaseKey: { S: lease.leaseKey },
    ...(lease.leaseOwner === undefined ? {} : { leaseOwner: { S: lease.leaseOwner } }),
    leaseCounter: { N: String(lease.leaseCounter) },
    ownerSwitchesSinceCheckpoint: { N: String(lease.ownerSwitchesSinceCheckpoint) },
    entityType: { S: 'LEASE' },
    checkpoint: { S: lease.checkpoint.sequenceNumber },
    checkpointSubSequenceNumber: { N: String(lease.checkpoint.subSequenceNumber) },
    ...(lease.parentShardIds.length > 0 ? { parentShardId: { SS: [...lease.parentShardIds] } } : {}),
    ...(lease.childShardIds.length > 0 ? { childShardIds: { SS: [...lease.childShardIds] } } : {}),
    ...(lease.hashKeyRange
      ? {
          startingHashKey: { S: lease.hashKeyRange.starting },
          endingHashKey: { S: lease.hashKeyRange.ending },
        }
      : {}),
    ...(lease.startedAt === undefined ? {} : { weirStartedAt: { N: String(lease.startedAt) } }),
  };
}

/**
 * The lease in a row, or `undefined` for a row that is none: KCL 3 keeps its leader lock, worker metrics and
 * migration state in the same table, told apart by `entityType`. KCL 2 rows have no `entityType` and are leases.
 */
export function fromRow(row: Row): Lease | undefined {
  const leaseKey = row.leaseKey?.S;
  const checkpoint = row.checkpoint?.S;
  const entityType = row.entityType?.S;
  if (leaseKey === undefined || checkpoint === undefined) return undefined;
  if (entityType !== undefined && entityType !== 'LEASE') return undefined;
  const starting = row.startingHashKey?.S;
  const ending = row.endingHashKey?.S;
  return {
    leaseKey,
    leaseOwner: row.leaseOwner?.S,
    leaseCounter: Number(row.leaseCounter?.N ?? 0),
    checkpoint: {
      sequenceNumber: checkpoint,
      subSequenceNumber: Number(row.checkpointSubSequenceNumber?.N ?? 0),
    },
    ownerSwitchesSinceCheckpoint: Number(row.ownerSwitchesSinceCheckpoint?.N ?? 0),
    parentShardIds: row.parentShardId?.SS ?? [],
    childShardIds: row.childShardIds?.SS ?? [],
    hashKeyRange: starting === undefined || ending === undefined ? undefined : { starting, ending },
    startedAt: row.weirStartedAt?.N === undefined ? undefined : Number(row.weirStartedAt.N),
  };
}
