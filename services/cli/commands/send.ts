import { createReadStream } from 'node:fs';
import { appendFile, stat } from 'node:fs/promises';
import { stdin } from 'node:process';
import { Command } from 'commander';
import { type Clock, systemClock as clock } from '../../shared/clock.ts';
import { InputError } from '../backtest/errors.ts';
import { readDemo } from '../demo-file.ts';
import { EXIT } from '../exit-codes.ts';
import { quantity, spanOption, wholeNumber } from '../options.ts';
import { printJson } from '../output.ts';
import { Progress } from '../progress.ts';
import { BatchClient, type Refusal } from '../send/batch-client.ts';
import { batches, type LineBatch } from '../send/lines.ts';
import { newState, readState, type SendState, writeState } from '../send/resume.ts';
import { stopped } from '../signals.ts';

const DEFAULT_URL = 'http://127.0.0.1:8080';
/** Below the producer's MAX_BATCH_BYTES as it comes. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Refusals that are told; `--rejects` has all. */
const TOLD_REFUSALS = 10;

interface SendOptions {
  url?: string;
  batch: number;
  rate?: number;
  resume?: string;
  rejects?: string;
  giveUp: number;
  demo?: boolean;
  json?: boolean;
}

/** `weir send`: a file of events to a producer, in order, each counted once however often it was begun. */
export const send = new Command('send')
  .description(
    'Sends events to a producer, one JSON object a line, in order: throttles are waited for, refusals told.',
  )
  .argument('[file]', 'NDJSON; - is the standard input', '-')
  .option('--url <url>', `of the producer (WEIR_URL, else ${DEFAULT_URL})`)
  .option('--batch <n>', 'events a request', wholeNumber(1, 10_000), 500)
  .option('--rate <n>', 'events a second at most', quantity(0.001, 1e7))
  .option('--resume <file>', 'keep the place in this file, and go on from there')
  .option('--rejects <file>', 'append what is refused to this file, one JSON object a line')
  .addOption(spanOption('--give-up <span>', 'when a batch is not taken for so long', '1m'))
  .option('--demo', 'to the demo that runs on this machine')
  .option('--json', 'print one object for programs')
  .addHelpText(
    'after',
    `
The API key or token, where the producer wants one, is read from WEIR_API_KEY.
A run that was cut is gone on with by the same command with --resume: events have idempotency keys, so what was
stored without our knowing counts once. Exit code 3: some events were refused.

Examples:
  weir send events.ndjson --demo
  weir send events.ndjson --resume events.place --rejects events.rejected --rate 500
  jq -c '.[]' events.json | WEIR_API_KEY=... weir send --url https://events.example.com`,
  )
  .action(async (file: string, options: SendOptions) => {
    if (options.resume !== undefined && file === '-')
      throw new InputError('--resume needs a file: the standard input can not be read again');
    const state = options.resume
      ? await readState(options.resume, file, options.batch)
      : newState(file, options.batch);
    const signal = stopped();
    const url = urlOf(options);
    const client = new BatchClient({
      url,
      key: process.env.WEIR_API_KEY || undefined,
      giveUpMs: options.giveUp,
      clock,
      random: Math.random,
      signal,
    });
    const before = { ...state };
    const startedAt = clock.monotonic();
    const done = await sendAll(file, state, client, options, signal);
    const seconds = (clock.monotonic() - startedAt) / 1_000;
    const stored = state.stored - before.stored;
    const refused = state.refused - before.refused;
    if (refused > 0) process.exitCode = EXIT.unwell.code;
    if (!done) process.exitCode = EXIT.interrupted.code;
    const eventsPerSecond = seconds > 0 ? stored / seconds : 0;
    const resumedAtLine = before.line > 0 ? before.line + 1 : null;
    if (options.json)
      return printJson({ file, url, stored, refused, seconds, eventsPerSecond, resumedAtLine });
    process.stdout.write(
      `${stored} events stored, ${refused} refused, in ${seconds.toFixed(1)} s (${Math.round(eventsPerSecond)}/s)` +
        `${resumedAtLine === null ? '' : `, from line ${resumedAtLine} on`}\n` +
        `${done || options.resume === undefined ? '' : `Stopped after line ${state.line}: the same command goes on from there.\n`}`,
    );
  });

/** @returns false when it was interrupted. */
async function sendAll(
  file: string,
  state: SendState,
  client: BatchClient,
  { rate, resume, rejects }: SendOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const size = file === '-' ? 0 : await sizeOf(file);
  const bar = new Progress(`sending ${file === '-' ? 'stdin' : file}`, size);
  const input = (async function* () {
    const source: AsyncIterable<Buffer> = file === '-' ? stdin : createReadStream(file);
    for await (const chunk of source) {
      bar.add(chunk.length);
      yield chunk;
    }
  })();
  const pace = new Pace(rate, clock);
  let told = 0;
  try {
    const cut = { maxLines: state.batch, maxBytes: BATCH_BYTES, skip: state.line };
    for await (const batch of batches(input, cut)) {
      await pace.wait(batch.lines.length, signal);
      const refusals = signal.aborted
        ? undefined
        : await client.send(batch.lines, `${state.run}/${batch.firstLine}`);
      if (!refusals) return false;
      for (const refusal of refusals) {
        if (rejects !== undefined) await appendFile(rejects, rejectLine(batch, refusal), { mode: 0o600 });
        if (told++ < TOLD_REFUSALS)
          process.stderr.write(
            `weir: line ${batch.lineNumbers[refusal.index]} was refused, ${refusal.code}: ${refusal.detail}\n`,
          );
      }
      state.line = batch.lastLine;
      state.refused += refusals.length;
      state.stored += batch.lines.length - refusals.length;
      if (resume !== undefined) await writeState(resume, state);
    }
    return true;
  } finally {
    bar.stop();
    if (told > TOLD_REFUSALS) process.stderr.write(`weir: ${told - TOLD_REFUSALS} more were refused\n`);
  }
}

/** Holds a rate over the whole run, a batch at a time. */
class Pace {
  readonly #perMs: number | undefined;
  readonly #clock: Clock;
  readonly #startedAt: number;
  #sent = 0;

  constructor(rate: number | undefined, clock: Clock) {
    this.#perMs = rate === undefined ? undefined : rate / 1_000;
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
  }

  async wait(events: number, signal: AbortSignal): Promise<void> {
    if (this.#perMs === undefined) return;
    const dueAt = this.#startedAt + this.#sent / this.#perMs;
    this.#sent += events;
    await this.#clock.sleep(dueAt - this.#clock.monotonic(), signal);
  }
}

function rejectLine({ lines, lineNumbers }: LineBatch, { index, code, detail }: Refusal): string {
  const line = lineNumbers[index];
  return `${JSON.stringify({ line, code, detail, event: lines[index]?.toString('utf8') })}\n`;
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    throw new InputError((error as Error).message, error);
  }
}

function urlOf({ url, demo }: SendOptions): string {
  const text = url ?? (demo ? readDemo().producerUrl : process.env.WEIR_URL || DEFAULT_URL);
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol)) throw new InputError(`${text} is no http(s) URL`);
  return text.replace(/\/+$/, '');
}
