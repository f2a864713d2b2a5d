import { type DynamoDBClient, paginateQuery } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { Command } from 'commander';
import type { z } from 'zod';
import { systemClock as clock } from '../../shared/clock.ts';
import { globOf, quantity, spanOption, wholeNumber } from '../options.ts';
import { paint, plain, printJson } from '../output.ts';
import type { resultSchema } from '../schemas.ts';
import { stopped } from '../signals.ts';
import { addTargetOptions, type TargetOptions, withTarget } from '../target.ts';

/** The index is eventually consistent, and results are stored some time after they arrived: so far back each look goes. */
const OVERLAP_MS = 60_000;
const DAY_MS = 86_400_000;

interface TailOptions extends TargetOptions {
  source?: string;
  minScore?: number;
  minAmount?: number;
  since: number;
  interval: number;
  limit?: number;
  follow: boolean;
  json?: boolean;
}
type Result = z.output<typeof resultSchema>;

/** `weir tail`: anomalies as they are stored, by queries of the records table's sparse index. */
export const tail = addTargetOptions(
  new Command('tail').description(
    "Prints anomalies as they are stored. Reads the records table's sparse index of anomalies, so it costs what there is of them; results that are none are items by id only.",
  ),
  ['records'],
  false,
)
  .option('--source <pattern>', 'only of these sources; * stands for anything')
  .option('--min-score <n>', 'only with this anomaly score or more', quantity(0, 1e300))
  .option('--min-amount <n>', 'only with this amount or more', quantity(-1e300, 1e300))
  .addOption(spanOption('--since <span>', 'begin with what arrived so long ago', '1m'))
  .addOption(spanOption('--interval <span>', 'between two looks', '1s'))
  .option('--limit <n>', 'end after so many', wholeNumber(1, 1e9))
  .option('--no-follow', 'print what is there, and end')
  .option('--json', 'print one object a line for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir tail --demo
  weir tail --source 'sensor-*' --min-score 1.5
  weir tail --since 24h --no-follow --json > anomalies.ndjson`,
  )
  .action((options: TailOptions) =>
    withTarget(options, async ({ dynamodb, recordsTable }) => {
      const wanted = filterOf(options);
      const signal = options.follow ? stopped() : AbortSignal.abort();
      const begin = clock.now() - options.since;
      /** Ids that were met, by when they arrived; those that a look can't meet again are forgotten. */
      const seen = new Map<string, number>();
      let printed = 0;
      let from = begin;
      for (;;) {
        const lookedAt = clock.now();
        for await (const { arrivedAt, item } of query(dynamodb, recordsTable, from)) {
          if (seen.has(item.id)) continue;
          seen.set(item.id, arrivedAt);
          if (!wanted(item)) continue;
          if (options.json) printJson(item);
          else process.stdout.write(lineOf(item, arrivedAt));
          if (++printed === options.limit) return;
        }
        from = Math.max(begin, lookedAt - OVERLAP_MS);
        for (const [id, arrivedAt] of seen) if (arrivedAt < from) seen.delete(id);
        await clock.sleep(options.interval, signal);
        if (signal.aborted) return;
      }
    }),
  );

/** Anomalies from a time of arrival on, in its order. @param from ms since the epoch. */
async function* query(
  client: DynamoDBClient,
  table: string,
  from: number,
): AsyncGenerator<{ arrivedAt: number; item: Result }> {
  for (let day = Math.floor(from / DAY_MS); day <= Math.floor(clock.now() / DAY_MS); day++) {
    const pages = paginateQuery(
      { client },
      {
        TableName: table,
        IndexName: 'anomalies',
        KeyConditionExpression: 'anomaly_day = :day AND anomaly_time >= :from',
        ExpressionAttributeValues: {
          ':day': { S: new Date(day * DAY_MS).toISOString().slice(0, 10) },
          ':from': { S: new Date(from).toISOString() },
        },
      },
    );
    for await (const { Items = [] } of pages) {
      for (const row of Items) {
        const item = unmarshall(row, { wrapNumbers: Number }) as Result;
        yield { arrivedAt: Date.parse(row.anomaly_time?.S ?? ''), item };
      }
    }
  }
}

function filterOf({ source, minScore, minAmount }: TailOptions): (item: Result) => boolean {
  const isSource = source === undefined ? () => true : globOf(source);
  return (item) =>
    isSource(item.source) &&
    (minScore === undefined || Number(item.anomaly_score) >= minScore) &&
    (minAmount === undefined || item.amount >= minAmount);
}

function lineOf(item: Result, arrivedAt: number): string {
  const score = Number(item.anomaly_score);
  const text = `${new Date(arrivedAt).toISOString()}  ${plain(item.source)}  amount ${item.amount}  score ${score.toFixed(3)}  ${plain(item.detection_method)}`;
  return `${text}  ${paint(plain(item.id), 'dim')}\n`;
}
