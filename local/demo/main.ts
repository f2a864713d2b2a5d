/** `npm run demo`: the whole flow on this machine, on real data, checked at the end. */
import { announceDemo } from '../../services/cli/demo-file.ts';
import { type Crash, type LocalStack, startStack } from '../stack.ts';
import { DatasetError, type DemoEvent, loadFile, loadFlights } from './dataset.ts';
import { type DemoOptions, parseOptions } from './options.ts';
import { createProgress, format } from './progress.ts';
import { run } from './run.ts';
import { renderHints, renderSummary } from './summary.ts';

const FLIGHTS_THRESHOLD = 120;
const OWN_DATA_THRESHOLD = 1_000;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

const options = parseOptions(process.argv.slice(2));
/** With --json, standard output holds the result and nothing else. */
const out = options.json ? process.stderr : process.stdout;
const interrupted = new AbortController();
let exitCode = 0;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The parts end with this process: their standard input closes.
    if (interrupted.signal.aborted) process.exit(EXIT_INTERRUPTED);
    out.write(`\n  ${signal}: stopping everything; once more to force it\n`);
    interrupted.abort();
  });
}

const events = load(options);
const threshold = options.threshold ?? (options.input === undefined ? FLIGHTS_THRESHOLD : OWN_DATA_THRESHOLD);
let stack: LocalStack | undefined;
let takeBack = () => {};
try {
  stack = await startStack({ threshold, onStep: (step) => out.write(`  ${step}\n`) });
  takeBack = announceDemo({ pid: process.pid, env: stack.env, producerUrl: stack.producerUrl });
  exitCode = await Promise.race([demo(stack), stack.crashed.then(reportCrash)]);
} catch (error) {
  out.write(`\n  ${error instanceof Error ? error.message : String(error)}\n`);
  exitCode = 1;
} finally {
  interrupted.abort();
  takeBack();
  await stack?.stop();
}
process.exit(exitCode);

/** @returns the exit code. */
async function demo(stack: LocalStack): Promise<number> {
  if (!interrupted.signal.aborted) {
    out.write(
      `\n  watch it at  ${stack.consoleUrl}\n\n  replaying ${format(events.length)} events from ${format(sources())} sources, in time order\n\n`,
    );
    const progress = createProgress(events.length, out);
    const result = await run(stack, events, {
      threshold,
      rate: options.rate,
      progress,
      signal: interrupted.signal,
    });
    if (result) {
      out.write(renderSummary(result));
      if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
      if (options.exit || !result.ok) return result.ok ? 0 : 1;
      out.write(`\n${renderHints(stack)}`);
      await aborted(interrupted.signal);
      return 0;
    }
  }
  return EXIT_INTERRUPTED;
}

function load({ input, events: count, sourceField, amountField, timestampField }: DemoOptions): DemoEvent[] {
  try {
    const loaded =
      input === undefined
        ? loadFlights()
        : loadFile(input, { source: sourceField, amount: amountField, timestamp: timestampField });
    return loaded.slice(0, count);
  } catch (error) {
    if (!(error instanceof DatasetError)) throw error;
    process.stderr.write(`demo: ${error.message}\n`);
    process.exit(EXIT_USAGE);
  }
}

function sources(): number {
  return new Set(events.map(({ source }) => source)).size;
}

function reportCrash({ name, exit, lastLines }: Crash): number {
  if (interrupted.signal.aborted) return EXIT_INTERRUPTED;
  const how = exit.signal ?? `exit code ${exit.code}`;
  const lines = lastLines.slice(-15).map((line) => `    ${line}`);
  out.write(`\n\n  ${name} ended unexpectedly (${how}). Its last lines:\n${lines.join('\n')}\n`);
  return 1;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
