import type { Row } from './lease-row.ts';

/** What a worker says that can't be seen from the leases: that it is there but holds none, or that it is leaving. */
export interface WorkerPresence {
  workerId: string;
  /** `host:port` of its admin server. */
  address: string;
  /** When it said so, by its own clock, in ms since the epoch. Others watch it move; they don't compare it. */
  seenAt: number;
  /** True when it is stopping and gives its leases away. */
  leaving: boolean;
}

/**
 * The row of such a worker, in the kind that KCL 3 has for its workers. A kind of our own would do
 * harm: KCL 3.5 takes a row of a kind that it doesn't know for a lease (`DynamoDBLeaseTableDao.resolveEntityType`).
 * Empty `sts` and `opr` mean a worker without measurements (`WorkerMetricStats.isUsingDefaultWorkerMetric`), and KCL
 * removes the row itself once `lut`, in seconds, is old.
 */
export function toWorkerRow({ workerId, address, seenAt, leaving }: WorkerPresence): Row {
  return {
    leaseKey: { S: workerId },
    entityType: { S: 'WORKER_METRIC_STATS' },
    lut: { N: String(Math.floor(seenAt / 1000)) },
    sts: { M: {} },
    opr: { M: {} },
    weirReportedAt: { N: String(seenAt) },
    weirWorkerAddress: { S: address },
    ...(leaving ? { weirLeaving: { BOOL: true } } : {}),
  };
}

/** The worker of ours in a row, or `undefined` for any other row, KCL's own workers included. */
export function fromWorkerRow(row: Row): WorkerPresence | undefined {
  const workerId = row.leaseKey?.S;
  const address = row.weirWorkerAddress?.S;
  const seenAt = row.weirReportedAt?.N;
  if (row.entityType?.S !== 'WORKER_METRIC_STATS') return undefined;
  if (workerId === undefined || address === undefined || seenAt === undefined) return undefined;
  return { workerId, address, seenAt: Number(seenAt), leaving: row.weirLeaving?.BOOL ?? false };
}
