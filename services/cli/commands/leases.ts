import { paginateScan } from '@aws-sdk/client-dynamodb';
import { Command } from 'commander';
import type { z } from 'zod';
import { fromRow, type Lease } from '../../shared/kcl/lease-row.ts';
import { fromWorkerRow } from '../../shared/kcl/worker-row.ts';
import { formatTable, plain, printJson } from '../output.ts';
import type { leasesSchema } from '../schemas.ts';
import { addTargetOptions, type TargetOptions, withTarget } from '../target.ts';

type Leases = z.output<typeof leasesSchema>;
type Row = Leases['leases'][number];

/** `weir leases`: the lease table as it is, ours or a KCL application's. */
export const leases = addTargetOptions(
  new Command('leases').description(
    "Lists a group's leases: who holds which shard, and how far it is. Reads any KCL lease table.",
  ),
  ['leases'],
  false,
)
  .option('--json', 'print one object for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir leases --demo
  weir leases --lease-table orders-kcl-app --json`,
  )
  .action(({ json, ...options }: TargetOptions & { json?: boolean }) =>
    withTarget(options, async ({ dynamodb, leaseTable }) => {
      const found: Leases = { leaseTable, leases: [], workers: [] };
      for await (const { Items = [] } of paginateScan(
        { client: dynamodb },
        { TableName: leaseTable, ConsistentRead: true },
      )) {
        for (const row of Items) {
          const lease = fromRow(row);
          const worker = fromWorkerRow(row);
          if (lease) found.leases.push(rowOf(lease));
          if (worker) found.workers.push({ ...worker, seenAt: iso(worker.seenAt) });
        }
      }
      found.leases.sort((a, b) => (a.leaseKey < b.leaseKey ? -1 : 1));
      if (json) printJson(found);
      else process.stdout.write(textOf(found));
    }),
  );

/** A time that anybody may have written. */
function iso(ms: number): string {
  return new Date(Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? ms : 0).toISOString();
}

function rowOf(lease: Lease): Row {
  const { report } = lease;
  return {
    leaseKey: lease.leaseKey,
    owner: lease.leaseOwner ?? null,
    counter: lease.leaseCounter,
    checkpoint: lease.checkpoint.sequenceNumber,
    subSequenceNumber: lease.checkpoint.subSequenceNumber,
    ownerSwitches: lease.ownerSwitchesSinceCheckpoint,
    parents: [...lease.parentShardIds],
    children: [...lease.childShardIds],
    workerAddress: lease.workerAddress ?? null,
    reportedAt: report ? iso(report.reportedAt) : null,
    millisBehindLatest: report?.millisBehindLatest ?? null,
    recordsPerSecond: report?.recordsPerSecond ?? null,
    busyShare: report?.busyShare ?? null,
    workerUtilization: report?.workerUtilization ?? null,
  };
}

function textOf({ leaseTable, leases, workers }: Leases): string {
  const held = leases.filter(({ owner }) => owner !== null).length;
  const rows = leases.map((lease) => [
    plain(lease.leaseKey),
    plain(lease.owner ?? '-'),
    plain(lease.checkpoint),
    String(lease.subSequenceNumber),
    String(lease.counter),
    lease.reportedAt ?? '-',
  ]);
  const header = ['lease', 'owner', 'checkpoint', 'sub', 'counter', 'last report'];
  return [
    `${leaseTable}: ${leases.length} leases, ${held} held\n`,
    formatTable(header, rows, (i) => {
      if (leases[i]?.checkpoint === 'SHARD_END') return 'dim';
      return leases[i]?.owner === null ? 'yellow' : undefined;
    }),
    ...workers.map(
      ({ workerId, leaving, seenAt }) =>
        `${plain(workerId)} ${leaving ? 'is leaving' : 'holds none'}, seen at ${seenAt}\n`,
    ),
  ].join('');
}
