import { Command } from 'commander';
import type { z } from 'zod';
import type { ShardObservation } from '../../controller/scaling/observation.ts';
import { StreamReader } from '../../controller/streamscaler/stream-reader.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { EXIT } from '../exit-codes.ts';
import { quantity, spanOption } from '../options.ts';
import { formatTable, plain, printJson } from '../output.ts';
import type { lagSchema } from '../schemas.ts';
import { stopped } from '../signals.ts';
import { addTargetOptions, type TargetOptions, withTarget } from '../target.ts';

interface LagOptions extends TargetOptions {
  watch?: boolean;
  interval: number;
  maxLag?: number;
  json?: boolean;
}
type Lag = z.output<typeof lagSchema>;

/** `weir lag`: the controller's own reading of how far a group is behind. */
export const lag = addTargetOptions(
  new Command('lag').description(
    'Shows how far a consumer group is behind, shard by shard: by what its workers report, else by a look at the stream from their checkpoints on, as the controller does. Works for any group with a KCL lease table.',
  ),
  ['leases'],
)
  .option('--watch', 'again and again, until Ctrl-C')
  .addOption(spanOption('--interval <span>', 'between two looks', '5s'))
  .option('--max-lag <seconds>', 'exit with 3 when a shard is further behind, or not known', quantity(0, 1e9))
  .option('--json', 'print one object for programs, with --watch one a line')
  .addHelpText(
    'after',
    `
Examples:
  weir lag --demo
  weir lag --stream orders --lease-table orders-kcl-app --watch
  weir lag --group orders --max-lag 60 --json`,
  )
  .action((options: LagOptions) =>
    withTarget(options, async (target) => {
      const reader = new StreamReader({ ...target, clock });
      const signal = options.watch ? stopped() : AbortSignal.abort();
      for (;;) {
        const found = await observe(reader, target.stream, target.leaseTable);
        if (options.json) printJson(found);
        else {
          if (options.watch && process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J');
          process.stdout.write(textOf(found));
        }
        if (!found.shards.length && found.problems.length > 0) process.exitCode = EXIT.failed.code;
        else if (isBehind(found, options.maxLag)) process.exitCode = EXIT.unwell.code;
        else process.exitCode = EXIT.ok.code;
        await clock.sleep(options.interval, signal);
        if (signal.aborted) return;
      }
    }),
  );

async function observe(reader: StreamReader, stream: string, leaseTable: string): Promise<Lag> {
  const observed = await reader.observe();
  const shards = (observed.stream?.shards ?? []).map(rowOf);
  const lags = shards.map(({ lagSeconds }) => lagSeconds);
  return {
    at: new Date(clock.now()).toISOString(),
    stream,
    leaseTable,
    // One that is not known may be the furthest behind.
    maxLagSeconds:
      lags.length === 0 || lags.includes(null) ? null : Math.max(...lags.filter((n) => n !== null)),
    shards,
    problems: [...new Set(observed.problems)],
  };
}

function rowOf(shard: ShardObservation): Lag['shards'][number] {
  const { shardId, open, startable, owner, lagSeconds, processed, busyShare, workerUtilization } = shard;
  const from = lagSeconds === undefined ? 'unknown' : busyShare === undefined ? 'probe' : 'report';
  return {
    shardId,
    open,
    startable,
    owner: owner ?? null,
    lagSeconds: lagSeconds ?? null,
    from,
    // Of a KCL application there are shares of what arrives only: no rate.
    recordsPerSecond: from === 'report' ? (processed?.records ?? null) : null,
    busyShare: busyShare ?? null,
    workerUtilization: workerUtilization ?? null,
  };
}

function isBehind({ maxLagSeconds }: Lag, limit: number | undefined): boolean {
  return limit !== undefined && (maxLagSeconds === null || maxLagSeconds > limit);
}

const percent = (share: number | null) => (share === null ? '' : `${Math.round(share * 100)} %`);

function textOf({ at, stream, leaseTable, maxLagSeconds, shards, problems }: Lag): string {
  const rows = shards.map((shard) => [
    shard.shardId,
    state(shard),
    shard.lagSeconds === null ? '?' : shard.lagSeconds.toFixed(1),
    shard.from,
    shard.recordsPerSecond === null ? '' : String(Math.round(shard.recordsPerSecond)),
    percent(shard.busyShare),
    percent(shard.workerUtilization),
    plain(shard.owner ?? '-'),
  ]);
  const header = ['shard', 'state', 'lag s', 'from', 'records/s', 'busy', 'pod full', 'owner'];
  const most = maxLagSeconds === null ? 'not known' : `${maxLagSeconds.toFixed(1)} s`;
  return [
    `${at}  ${stream}, leases in ${leaseTable}: furthest behind ${most}\n`,
    formatTable(header, rows, (i) => (shards[i]?.lagSeconds === null ? 'yellow' : undefined)),
    ...problems.map((problem) => `not known: ${problem}\n`),
  ].join('');
}

function state({ open, startable }: Lag['shards'][number]): string {
  if (!startable) return 'waits for parents';
  return open ? 'open' : 'closed, being drained';
}
