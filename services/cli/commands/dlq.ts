import { appendFile, readFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { z } from 'zod';
import {
  byPosition,
  type DeadLetterHead,
  DeadLetterQueue,
} from '../../consumer/dead-letters/dead-letter-queue.ts';
import { type GivenUp, givenUpRecords } from '../../consumer/dead-letters/given-up.ts';
import { isRetryable } from '../../shared/aws.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { InputError } from '../backtest/errors.ts';
import { EXIT, messageOf } from '../exit-codes.ts';
import { formatTable, plain, printJson } from '../output.ts';
import type { dlqRedriveSchema } from '../schemas.ts';
import { addTargetOptions, type TargetOptions, withTarget } from '../target.ts';

interface Chosen extends TargetOptions {
  reason?: string;
  all?: boolean;
  json?: boolean;
}
type Redrive = z.output<typeof dlqRedriveSchema>;

/** `weir dlq`: dead letters, to be looked at, put through again, or given up. */
export const dlq = new Command('dlq').description(
  'Dead letters: records that could not be processed, with their bytes and the reason.',
);

const queueOf = (options: TargetOptions, work: (queue: DeadLetterQueue, table: string) => Promise<void>) =>
  withTarget(options, ({ dynamodb, kinesis, deadLetterTable: table }) =>
    work(new DeadLetterQueue({ dynamodb, kinesis, table, clock }), table),
  );

const subcommand = (name: string, description: string) =>
  addTargetOptions(dlq.command(name).description(description), ['deadLetters'], false).option(
    '--json',
    'print one object for programs',
  );

subcommand('list', 'Lists dead letters, oldest first.')
  .option('--reason <code>', 'only with this reason')
  .addHelpText('after', '\nExamples:\n  weir dlq list --demo\n  weir dlq list --reason event-invalid --json')
  .action((options: Chosen) =>
    queueOf(options, async (queue, table) => {
      const letters = await listed(queue, options.reason);
      if (options.json) return printJson({ table, letters: letters.map(jsonOf) });
      const rows = letters.map(({ id, failedAt, reason, sizeBytes, message }) => [
        plain(failedAt),
        plain(reason),
        String(sizeBytes),
        plain(id),
        plain(message).slice(0, 60),
      ]);
      process.stdout.write(
        `${table}: ${letters.length} dead letters\n${formatTable(['failed at', 'reason', 'bytes', 'id', 'message'], rows)}`,
      );
    }),
  );

subcommand('show', 'Shows one dead letter with its record.')
  .argument('<id>', 'as dlq list has it')
  .addHelpText(
    'after',
    '\nExamples:\n  weir dlq show anomaly-stream/shardId-000000000000/495...8450\n  weir dlq show <id> --json',
  )
  .action((id: string, options: Chosen) =>
    queueOf(options, async (queue) => {
      const { head, data } = await queue.read(id);
      const text = data.toString('utf8');
      const isText = Buffer.from(text).equals(data);
      const shown = {
        ...jsonOf(head),
        encoding: isText ? ('utf8' as const) : ('base64' as const),
        data: isText ? text : data.toString('base64'),
      };
      if (options.json) return printJson(shown);
      const lines = Object.entries(shown).map(([name, value]) => `${name.padEnd(18)}${plain(String(value))}`);
      process.stdout.write(`${lines.join('\n')}\n`);
    }),
  );

subcommand(
  'redrive',
  'Puts dead letters on their stream again. Without --yes it only says what would happen.',
)
  .argument('[id...]', 'as dlq list has them')
  .option('--reason <code>', 'all with this reason')
  .option('--all', 'all there are')
  .option('--force', 'also those that would fail again by what their bytes tell')
  .option('--yes', 'do it')
  .addHelpText(
    'after',
    `
A record keeps the identity it had, so one that is redriven twice counts once. It is scored in the order of its
source as of now. Exit code 3: some are kept, since they would fail again, or could not be redriven.

Examples:
  weir dlq redrive --reason processing-failed
  weir dlq redrive --reason processing-failed --yes`,
  )
  .action((ids: string[], options: Chosen & { force?: boolean; yes?: boolean }) =>
    queueOf(options, async (queue, table) => {
      const result: Redrive = { table, dryRun: !options.yes, letters: [] };
      await each(
        await chosen(queue, ids, options),
        (id) => (options.yes ? redrive(queue, id, options) : preview(queue, id, options)),
        (id, reason) => ({ id, outcome: 'kept' as const, reason, sequenceNumber: null }),
        (one) => {
          result.letters.push(one);
          if (!options.json)
            process.stdout.write(`${one.outcome}  ${plain(one.id)}  ${plain(one.reason ?? '')}\n`);
        },
      );
      const kept = result.letters.filter(({ outcome }) => outcome === 'kept').length;
      if (kept > 0) process.exitCode ??= EXIT.unwell.code;
      if (options.json) return printJson(result);
      const done = result.letters.length - kept;
      process.stdout.write(
        options.yes
          ? `${done} redriven, ${kept} kept\n`
          : `Nothing was done: ${done} would be redriven, ${kept} kept. With --yes it is done.\n`,
      );
    }),
  );

/**
 * Works on one letter after the other. What fails on one is its own and keeps none of the others from theirs, unless AWS does
 * not answer or a file can't be written: then the rest is left alone, and the command has failed.
 *
 * @param kept makes the outcome of a letter that failed, or was left alone.
 * @param tell gets each outcome.
 */
async function each<T>(
  ids: readonly string[],
  work: (id: string) => Promise<T>,
  kept: (id: string, reason: string) => T,
  tell: (outcome: T) => void,
): Promise<void> {
  let failed = false;
  for (const id of ids) {
    const outcome = failed
      ? kept(id, 'not tried after the failure before')
      : await work(id).catch((error: unknown) => {
          failed = isRetryable(error) || (error as { syscall?: unknown }).syscall !== undefined;
          return kept(id, messageOf(error) ?? String(error));
        });
    tell(outcome);
  }
  if (failed) process.exitCode = EXIT.failed.code;
}

async function preview(
  queue: DeadLetterQueue,
  id: string,
  { force }: { force?: boolean },
): Promise<Redrive['letters'][number]> {
  const failure = await queue.hindrance(id, { force: force === true });
  if (!failure) return { id, outcome: 'would-be-redriven', reason: null, sequenceNumber: null };
  return { id, outcome: 'kept', reason: `${failure.reason}: ${failure.message}`, sequenceNumber: null };
}

async function redrive(
  queue: DeadLetterQueue,
  id: string,
  { force }: { force?: boolean },
): Promise<Redrive['letters'][number]> {
  const redriven = await queue.redrive(id, { force: force === true });
  if (redriven.kind === 'kept')
    return { id, outcome: 'kept', reason: `${redriven.reason}: ${redriven.message}`, sequenceNumber: null };
  return { id, outcome: 'redriven', reason: null, sequenceNumber: redriven.sequenceNumber };
}

subcommand(
  'import',
  'Keeps the records of batches that the function gave up as dead letters. Without --yes it only says what would happen.',
)
  .argument('<file...>', 'objects of the bucket of failed batches')
  .option('--yes', 'do it')
  .addHelpText(
    'after',
    `
An event source mapping gives a batch up when its retries or its time are used up, and writes it to its on-failure
destination. Its records have no result; as dead letters they can be redriven. A file that is imported twice counts once.

Examples:
  weir dlq import failed-batch.json
  weir dlq import failed-batch.json --yes && weir dlq redrive --reason batch-given-up --yes`,
  )
  .action((files: string[], options: Chosen & { yes?: boolean }) =>
    queueOf(options, async (queue, table) => {
      const batches: GivenUp[] = [];
      for (const file of files) batches.push(...(await batchesOf(file)));
      const records = batches.reduce((sum, { letters }) => sum + letters.length, 0);
      const letters: string[] = [];
      if (options.yes) {
        for (const batch of batches) letters.push(...(await queue.add(batch.letters, batch.stream)));
      }
      if (options.json) return printJson({ table, dryRun: !options.yes, records, letters });
      process.stdout.write(
        options.yes
          ? `${records} records are dead letters now\n`
          : `Nothing was done: ${records} records would become dead letters. With --yes they do.\n`,
      );
    }),
  );

async function batchesOf(file: string): Promise<GivenUp[]> {
  try {
    return givenUpRecords(await readFile(file, 'utf8'));
  } catch (error) {
    throw new InputError(plain(`${file}: ${error instanceof Error ? error.message : String(error)}`));
  }
}

subcommand('purge', 'Removes dead letters for good. Without --yes it only says what would happen.')
  .argument('[id...]', 'as dlq list has them')
  .option('--reason <code>', 'all with this reason')
  .option('--all', 'all there are')
  .option('--save <file>', 'append each with its bytes to this file first, one JSON object a line')
  .option('--yes', 'do it')
  .addHelpText(
    'after',
    `
Examples:
  weir dlq purge --reason event-invalid
  weir dlq purge --reason event-invalid --save given-up.ndjson --yes`,
  )
  .action((ids: string[], options: Chosen & { save?: string; yes?: boolean }) =>
    queueOf(options, async (queue, table) => {
      const letters = await chosen(queue, ids, options);
      const purged: string[] = [];
      const kept: { id: string; reason: string }[] = [];
      await each<{ id: string; reason?: string }>(
        letters,
        async (id) => {
          if (options.yes && options.save !== undefined) await save(queue, id, options.save);
          if (options.yes) await queue.purge(id);
          return { id };
        },
        (id, reason) => ({ id, reason }),
        ({ id, reason }) => {
          if (reason === undefined) purged.push(id);
          else kept.push({ id, reason });
        },
      );
      if (kept.length > 0) process.exitCode ??= EXIT.unwell.code;
      const saved = options.yes ? (options.save ?? null) : null;
      if (options.json) return printJson({ table, dryRun: !options.yes, saved, letters: purged, kept });
      for (const { id, reason } of kept) process.stdout.write(`kept  ${plain(id)}  ${plain(reason)}\n`);
      process.stdout.write(
        options.yes
          ? `${purged.length} purged, ${kept.length} kept\n`
          : `${letters.map((id) => `${plain(id)}\n`).join('')}Nothing was done: ${letters.length} would be purged. With --yes they are gone for good.\n`,
      );
    }),
  );

async function save(queue: DeadLetterQueue, id: string, file: string): Promise<void> {
  const { head, data } = await queue.read(id);
  const line = JSON.stringify({ ...jsonOf(head), encoding: 'base64', data: data.toString('base64') });
  await appendFile(file, `${line}\n`, { mode: 0o600 });
}

async function listed(queue: DeadLetterQueue, reason: string | undefined): Promise<DeadLetterHead[]> {
  const letters: DeadLetterHead[] = [];
  for await (const letter of queue.list(reason)) letters.push(letter);
  return letters.sort((a, b) => a.failedAt.localeCompare(b.failedAt, 'en') || byPosition(a, b));
}

/** The dead letters that a command is about, in the order of the stream. They must be named, so that nothing happens by a slip. */
async function chosen(queue: DeadLetterQueue, ids: readonly string[], options: Chosen): Promise<string[]> {
  const ways = [ids.length > 0, options.reason !== undefined, options.all === true];
  if (ways.filter(Boolean).length !== 1) {
    throw new InputError('say which dead letters: their ids, or --reason <code>, or --all');
  }
  if (ids.length > 0) return [...ids];
  return (await listed(queue, options.reason)).sort(byPosition).map(({ id }) => id);
}

function jsonOf({ chunks: _, ...head }: DeadLetterHead) {
  return {
    ...head,
    subSequenceNumber: head.subSequenceNumber ?? null,
    errorCode: head.errorCode ?? null,
    arrivedAt: head.arrivedAt === undefined ? null : new Date(head.arrivedAt).toISOString(),
  };
}
