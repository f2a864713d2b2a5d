/**
 * `npm run soak -- [--seeds N] [--from S] [--minutes M] [--level in-process|processes] [--parallel P] [--bail] [--logs FOLDER]`:
 * runs seeds until all are done or the time is up, prints those that failed, and exits non-zero if there were any. What the
 * workers of a failed run said goes to a file in FOLDER.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDynalite } from '../../services/testkit/emulators.ts';
import { type Level, type RunResult, runSeed } from './run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    level: { type: 'string', default: 'in-process' },
    parallel: { type: 'string' },
    bail: { type: 'boolean', default: false },
    logs: { type: 'string' },
  },
});
const level = values.level as Level;
const from = Number(values.from);
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

const say = (line: string) => process.stdout.write(`${line}\n`);
const startedAt = performance.now();
const emulator = await startDynalite();
const failed: number[] = [];
let next = from;
let done = 0;
let records = 0;

async function lane(): Promise<void> {
  while (next < from + seeds && performance.now() < deadline && !(values.bail && failed.length > 0)) {
    const seed = next++;
    const result = await attempt(seed);
    done++;
    records += result.records;
    if (result.problems.length > 0) {
      failed.push(seed);
      say(`seed ${seed} FAILED after ${result.seconds.toFixed(1)} s`);
      for (const problem of result.problems) say(`  ${problem}`);
    } else if (done % 20 === 0) say(`${done} seeds, ${failed.length} failed, ${seconds()} s`);
  }
}

async function attempt(seed: number): Promise<RunResult> {
  const lines: string[] = [];
  const onLine = (name: string, line: string) => void lines.push(`${name} ${line}\n`);
  try {
    const result = await runSeed({
      seed,
      level,
      dynamodb: emulator.endpoint,
      ...(values.logs ? { onLine } : {}),
    });
    if (values.logs && result.problems.length > 0) {
      await writeFile(join(values.logs, `seed-${seed}.log`), lines);
    }
    return result;
  } catch (error) {
    const problems = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    return { seed, level, problems, records: 0, items: 0, steps: 0, seconds: 0 };
  }
}

const seconds = () => Math.round((performance.now() - startedAt) / 1000);

await Promise.all(Array.from({ length: parallel }, lane));
await emulator.stop();
say(`${done} seeds (${level}), ${records} Kinesis records, ${seconds()} s: ${failed.length} failed`);
if (failed.length > 0) {
  failed.sort((a, b) => a - b);
  say(
    `again: npm run soak -- --level ${level} --seeds 1 --from ${failed[0]}    (failed: ${failed.join(' ')})`,
  );
  process.exitCode = 1;
}
