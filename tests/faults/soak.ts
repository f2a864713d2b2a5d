/**
 * `npm run soak -- [--seeds N] [--from S] [--minutes M] [--level in-process|processes] [--parallel P] [--bail] [--logs FOLDER]`:
 * runs the scenarios, unless `--from` or real processes are asked for, then seeds until all are done or the time is up, prints
 * those that failed, and exits non-zero if there were any. With `--bail` it ends at the first in which something is wrong; a
 * run that did not get to its end is none. What the workers of a failed run said goes to a file in FOLDER.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDynalite } from '../../services/testkit/emulators.ts';
import { type Level, type RunResult, runSeed } from './run.ts';
import { SCENARIO_NAMES, type ScenarioName } from './scenarios.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    minutes: { type: 'string' },
    level: { type: 'string', default: 'in-process' },
    parallel: { type: 'string' },
    bail: { type: 'boolean', default: false },
    logs: { type: 'string' },
  },
});
const level = values.level as Level;
const from = Number(values.from ?? 1);
const seeds =
  values.seeds === undefined ? (values.minutes === undefined ? 100 : Infinity) : Number(values.seeds);
const deadline = performance.now() + Number(values.minutes ?? Infinity) * 60_000;
const parallel = Number(values.parallel ?? (level === 'processes' ? 1 : 3));
const bad =
  [from, seeds, deadline, parallel].some(Number.isNaN) || !['in-process', 'processes'].includes(level);
if (bad) {
  process.stderr.write('usage: see the head of tests/faults/soak.ts; numbers are to be numbers\n');
  process.exit(2);
}

/** Before each line on what must not be: `mutants.ts` looks for it. */
const WRONG = '  wrong: ';

const say = (line: string) => process.stdout.write(`${line}\n`);
const startedAt = performance.now();
const emulator = await startDynalite();
const scenarios = level === 'in-process' && values.from === undefined ? [...SCENARIO_NAMES] : [];
const failed: number[] = [];
let bail = false;
let failures = 0;
let next = from;
let done = 0;
let records = 0;

async function lane(): Promise<void> {
  for (let name = scenarios.shift(); name !== undefined && !bail; name = scenarios.shift()) {
    report(name, await attempt(1, name));
  }
  while (next < from + seeds && performance.now() < deadline && !bail) {
    const seed = next++;
    const result = await attempt(seed);
    done++;
    records += result.records;
    if (report(`seed ${seed}`, result)) failed.push(seed);
    else if (done % 20 === 0) say(`${done} seeds, ${failed.length} failed, ${seconds()} s`);
  }
}

/** @returns whether the run failed. */
function report(name: string, { wrong, unfinished, seconds }: RunResult): boolean {
  if (wrong.length + unfinished.length === 0) return false;
  failures++;
  say(`${name} FAILED after ${seconds.toFixed(1)} s`);
  for (const line of unfinished) say(`  unfinished: ${line}`);
  for (const line of wrong) say(`${WRONG}${line}`);
  if (values.bail && wrong.length > 0) bail = true;
  return true;
}

async function attempt(seed: number, scenario?: ScenarioName): Promise<RunResult> {
  const lines: string[] = [];
  const onLine = (name: string, line: string) => void lines.push(`${name} ${line}\n`);
  try {
    const result = await runSeed({
      seed,
      level,
      promptTimeouts: true,
      ...(scenario ? { scenario } : {}),
      dynamodb: emulator.endpoint,
      ...(values.logs ? { onLine } : {}),
    });
    if (values.logs && result.wrong.length + result.unfinished.length > 0) {
      await writeFile(join(values.logs, `${scenario?.replaceAll(' ', '-') ?? `seed-${seed}`}.log`), lines);
    }
    return result;
  } catch (error) {
    const unfinished = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    return { seed, level, wrong: [], unfinished, records: 0, items: 0, steps: 0, seconds: 0 };
  }
}

const seconds = () => Math.round((performance.now() - startedAt) / 1000);

await Promise.all(Array.from({ length: parallel }, lane));
await emulator.stop();
say(`${done} seeds (${level}), ${records} Kinesis records, ${seconds()} s: ${failures} failed`);
if (failures > 0) process.exitCode = 1;
if (failed.length > 0) {
  failed.sort((a, b) => a - b);
  say(
    `again: npm run soak -- --level ${level} --seeds 1 --from ${failed[0]}    (failed: ${failed.join(' ')})`,
  );
}
