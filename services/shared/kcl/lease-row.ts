import { createHash } from 'node:crypto';
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { type Checkpoint, isPosition } from './position.ts';

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
  /**
   * Ours too: the mark of the stream that the row was made for. A shard of this very stream that isn't listed was removed
   * by retention; one of another stream is only looked for in the wrong place. `undefined` in rows of KCL and of an older
   * consumer.
   */
  stream?: string | undefined;
  /** Ours too: `host:port` of the owner's admin server. */
  workerAddress: string | undefined;
  /**
   * Ours too: a random word for one worker's one time of holding the lease. A write of ours whose answer was lost is
   * known by it from a write of an earlier time of holding, whatever happened to the lease in between.
   */
  tenure: string | undefined;
  /** Ours too: what the owner told with its last renewals. `undefined` in a table that only KCL wrote. */
  report: LeaseReport | undefined;
}

/**
 * How the work on a shard goes, measured by the lease's owner since its report before. It stays in the row when the
 * owner dies or a KCL application takes over, so a reader looks at `reportedAt` first.
 */
export interface LeaseReport {
  /** When it was written, by the owner's clock, in ms since the epoch. */
  reportedAt: number;
  /** How far processing is behind the tip of the shard, in ms; `undefined` while that isn't known. */
  millisBehindLatest: number | undefined;
  /** User records done with a second. */
  recordsPerSecond: number;
  /** Kinesis records that they came in a second: an aggregate is one, as a shard's write limit counts. `undefined` in rows of an older consumer. */
  putsPerSecond?: number | undefined;
  /** Bytes of their data a second. */
  bytesPerSecond: number;
  /** Share of the time in which records were being processed, 0-1; the rest is waiting for records. */
  busyShare: number;
  /**
   * Utilization of the worker, 0-1: of the fullest of its event loop, the calls it may have in flight to a table, and the work on
   * this shard, which is the fuller the larger its slices are or the later their records. `undefined` in rows of an older consumer.
   */
  workerUtilization?: number | undefined;
  /** When the last record done with arrived in the stream, in ms since the epoch; `undefined` before the first. */
  lastArrivalAt: number | undefined;
}

/**
 * The mark of a stream in a lease row: short, since a row is to stay within one write unit.
 *
 * @param stream name or ARN, as it was configured. Named in another way it has another mark.
 */
export function streamMark(stream: string): string {
  return createHash('sha256').update(stream).digest('hex').slice(0, 16);
}

/** Attribute of each field of a report. KCL leaves attributes alone that it doesn't know. */
const REPORT_NUMBERS = {
  reportedAt: 'weirReportedAt',
  millisBehindLatest: 'weirMillisBehindLatest',
  recordsPerSecond: 'weirRecordsPerSecond',
  putsPerSecond: 'weirPutsPerSecond',
  bytesPerSecond: 'weirBytesPerSecond',
  busyShare: 'weirBusyShare',
  workerUtilization: 'weirWorkerUtilization',
  lastArrivalAt: 'weirLastArrivalAt',
} as const;

/** A report as attributes of a lease row: the ones with their values, and the names of those without one. */
export function reportAttributes(report: LeaseReport): { values: Row; absent: string[] } {
  const values: Row = {};
  const absent: string[] = [];
  for (const [field, attribute] of Object.entries(REPORT_NUMBERS)) {
    const value = report[field as keyof typeof REPORT_NUMBERS];
    if (value === undefined) absent.push(attribute);
    else values[attribute] = { N: String(value) };
  }
  return { values, absent };
}

function reportOf(row: Row): LeaseReport | undefined {
  const number = (field: keyof typeof REPORT_NUMBERS) => {
    const text = row[REPORT_NUMBERS[field]]?.N;
    return text === undefined ? undefined : Number(text);
  };
  const reportedAt = number('reportedAt');
  if (reportedAt === undefined) return undefined;
  return {
    reportedAt,
    millisBehindLatest: number('millisBehindLatest'),
    recordsPerSecond: number('recordsPerSecond') ?? 0,
    putsPerSecond: number('putsPerSecond'),
    bytesPerSecond: number('bytesPerSecond') ?? 0,
    busyShare: number('busyShare') ?? 0,
    workerUtilization: number('workerUtilization'),
    lastArrivalAt: number('lastArrivalAt'),
  };
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
    ...(lease.stream === undefined ? {} : { weirStream: { S: lease.stream } }),
    ...(lease.workerAddress === undefined ? {} : { weirWorkerAddress: { S: lease.workerAddress } }),
    ...(lease.tenure === undefined ? {} : { weirTenure: { S: lease.tenure } }),
    ...(lease.report ? reportAttributes(lease.report).values : {}),
  };
}

/**
 * The lease in a row, or `undefined` for a row that is none: KCL 3 keeps its leader lock, worker metrics and
 * migration state in the same table, told apart by `entityType`. KCL 2 rows have no `entityType` and are leases.
 * A lease whose checkpoint or counter can't be used is none either: see `damagedLease`.
 */
export function fromRow(row: Row): Lease | undefined {
  const leaseKey = row.leaseKey?.S;
  const checkpoint = row.checkpoint?.S;
  const entityType = row.entityType?.S;
  const counter = Number(row.leaseCounter?.N);
  if (leaseKey === undefined || checkpoint === undefined || !isPosition(checkpoint)) return undefined;
  if (!Number.isSafeInteger(counter)) return undefined;
  if (entityType !== undefined && entityType !== 'LEASE') return undefined;
  const starting = hashKey(row.startingHashKey?.S);
  const ending = hashKey(row.endingHashKey?.S);
  return {
    leaseKey,
    leaseOwner: row.leaseOwner?.S,
    leaseCounter: counter,
    checkpoint: {
      sequenceNumber: checkpoint,
      subSequenceNumber: Number(row.checkpointSubSequenceNumber?.N ?? 0),
    },
    ownerSwitchesSinceCheckpoint: Number(row.ownerSwitchesSinceCheckpoint?.N ?? 0),
    parentShardIds: (row.parentShardId?.SS ?? []).filter((id) => id !== leaseKey),
    childShardIds: row.childShardIds?.SS ?? [],
    hashKeyRange: starting === undefined || ending === undefined ? undefined : { starting, ending },
    startedAt: row.weirStartedAt?.N === undefined ? undefined : Number(row.weirStartedAt.N),
    stream: row.weirStream?.S,
    workerAddress: row.weirWorkerAddress?.S,
    tenure: row.weirTenure?.S,
    report: reportOf(row),
  };
}

/** The key of a row that stands in the place of a shard's lease and is none: nobody can take it, nor add another. */
export function damagedLease(row: Row): string | undefined {
  const leaseKey = row.leaseKey?.S;
  return leaseKey !== undefined && /(^|:)shardId-\d+$/.test(leaseKey) && !fromRow(row) ? leaseKey : undefined;
}

/** A hash key in decimal digits; anything else counts as not known, since a row may have been written by anybody. */
function hashKey(text: string | undefined): string | undefined {
  return text !== undefined && /^\d{1,39}$/.test(text) ? text : undefined;
}
