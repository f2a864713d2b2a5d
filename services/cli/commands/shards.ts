import { DescribeStreamSummaryCommand } from '@aws-sdk/client-kinesis';
import { Command } from 'commander';
import { rangeShare } from '../../controller/scaling/observation.ts';
import { listShards, streamRef } from '../../shared/list-shards.ts';
import { formatTable, printJson } from '../output.ts';
import { addTargetOptions, type TargetOptions, withTarget } from '../target.ts';

interface ShardsOptions extends TargetOptions {
  open?: boolean;
  json?: boolean;
}

/** `weir shards`: the stream's shards, with their lineage and hash ranges. */
export const shards = addTargetOptions(
  new Command('shards').description("Lists the stream's shards: open or closed, parents, hash ranges."),
  [],
)
  .option('--open', 'only open ones')
  .option('--json', 'print one object for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir shards --demo
  weir shards --stream orders --open --json`,
  )
  .action((options: ShardsOptions) =>
    withTarget(options, async ({ kinesis, stream }) => {
      const [{ StreamDescriptionSummary: summary }, all] = await Promise.all([
        kinesis.send(new DescribeStreamSummaryCommand(streamRef(stream))),
        listShards(kinesis, stream),
      ]);
      const found = {
        stream,
        status: summary?.StreamStatus ?? 'UNKNOWN',
        mode: summary?.StreamModeDetails?.StreamMode ?? ('PROVISIONED' as const),
        retentionHours: summary?.RetentionPeriodHours ?? 0,
        open: all.filter(({ open }) => open).length,
        shards: all
          .filter(({ open }) => open || !options.open)
          .map(({ shardId, open, parentShardIds, hashKeyRange }) => ({
            shardId,
            open,
            parents: [...parentShardIds],
            startingHashKey: hashKeyRange.starting,
            endingHashKey: hashKeyRange.ending,
            share: rangeShare(hashKeyRange),
          })),
      };
      if (options.json) return printJson(found);
      const rows = found.shards.map((shard) => [
        shard.shardId,
        shard.open ? 'open' : 'closed',
        `${(shard.share * 100).toFixed(1)} %`,
        shard.parents.join(' ') || '-',
        `${shard.startingHashKey}-${shard.endingHashKey}`,
      ]);
      const { status, mode, retentionHours, open } = found;
      process.stdout.write(
        `${stream}: ${status}, ${mode}, ${open} open shards, records are kept for ${retentionHours} h\n` +
          formatTable(['shard', 'state', 'share', 'parents', 'hash keys'], rows, (i) =>
            found.shards[i]?.open ? undefined : 'dim',
          ),
      );
    }),
  );
