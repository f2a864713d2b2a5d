/**
 * `npm run soak:mutants -- [--only <text>] [--seeds N] [--from S] [--every]`: puts each of these faults into a copy of the consumer, on purpose,
 * and says how the suite saw it: by tables that differ from the replay or a write that must never happen. A run that does not
 * come to its end is no such thing. With `--from` there are no scenarios, with `--every` it counts the seeds that saw it. Exits
 * non-zero when it didn't see one.
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A text that stands once in a file of `services/consumer/`, and what is put in its place. */
interface Edit {
  file: string;
  find: string;
  replace: string;
}

interface Mutant {
  name: string;
  edits: readonly Edit[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'checkpoint before write',
    edits: [
      {
        file: 'shard-consumer.ts',
        find: '        await processor.process(slice, abort, this.#progress);',
        replace: `        await this.#held.checkpoint({ sequenceNumber: last.sequenceNumber, subSequenceNumber: last.subSequenceNumber ?? 0 });
        await processor.process(slice, abort, this.#progress);`,
      },
    ],
  },
  {
    name: 'checkpoint before state',
    edits: [
      {
        file: 'shard-consumer.ts',
        find: '    await processor.flush(abort, this.#progress);\n    this.#failures = 0;',
        replace: '    this.#failures = 0;',
      },
    ],
  },
  {
    name: 'unfenced checkpoint',
    edits: [
      {
        file: 'leases/lease-store.ts',
        find: 'if (await this.#unlessMoved(() => this.#update(from, ownerUpdate(next, write)))) return next;',
        replace: `await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: { leaseKey: { S: held.leaseKey } },
        UpdateExpression: ownerUpdate(next, write).expression,
        ExpressionAttributeValues: ownerUpdate(next, write).values,
      }),
    );
    if (next) return next;`,
      },
    ],
  },
  {
    name: 'child before parent',
    edits: [
      {
        file: 'lineage/lineage.ts',
        find: 'if (parents.every((id) => isFinished(leased.get(id)))) create(shard, fromTracked);',
        replace: 'create(shard, fromTracked);',
      },
      {
        file: 'lineage/lineage.ts',
        find: 'return parent === undefined || isFinished(parent);',
        replace: 'return true;',
      },
    ],
  },
  {
    name: 'state written without its watermark',
    edits: [
      { file: 'state/state-store.ts', find: "['#w=:w']", replace: "['#unread=:w']" },
      {
        file: 'state/state-store.ts',
        find: `['"#w":"watermark"']`,
        replace: `['"#w":"watermark","#unread":"unread"']`,
      },
    ],
  },
  {
    name: 'state written whatever its watermark',
    edits: [
      {
        file: 'state/state-store.ts',
        find: 'attribute_not_exists(#w) OR #w<=:w',
        replace: 'attribute_not_exists(#w) OR #w<=:w OR #w>:w',
      },
    ],
  },
  {
    name: 'rest of an aggregate dropped at a checkpoint',
    edits: [
      {
        file: 'fetch/user-records.ts',
        find: 'return sequenceNumber === done.sequenceNumber && subSequenceNumber <= done.subSequenceNumber;',
        replace: 'return sequenceNumber === done.sequenceNumber && subSequenceNumber >= 0;',
      },
    ],
  },
  {
    name: 'a shard started over after its end',
    edits: [
      {
        file: 'shard-consumer.ts',
        find: 'if (error instanceof LeaseLostError || error instanceof StoppedError || abort.aborted) throw error;',
        replace: 'throw error;',
      },
      {
        file: 'leases/lease-store.ts',
        find: 'return checkpoint && isBefore(checkpoint, lease.checkpoint) ? rest : write;',
        replace: 'return checkpoint && isBefore(checkpoint, lease.checkpoint) && !rest ? rest : write;',
      },
    ],
  },
  {
    name: 'dedupe dropped',
    edits: [
      {
        file: 'pipeline/shard-pipeline.ts',
        find: 'if (state.window && !state.window.admit(record.dedupeId)) {',
        replace: 'if (state.window && !state.window.admit(record.dedupeId) && state.slice < 0) {',
      },
    ],
  },
];

/** A copy of what a run needs, with the mutant in it. @returns its folder. */
async function mutate({ edits }: Mutant): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-mutant-'));
  for (const part of ['services', 'tests/faults', 'package.json']) {
    await cp(join(ROOT, part), join(folder, part), { recursive: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const { file, find, replace } of edits) {
    const path = join(folder, 'services/consumer', file);
    await writeFile(path, mutated(await readFile(path, 'utf8'), { file, find, replace }));
  }
  return folder;
}

/** @throws Error when the text that is to be replaced does not stand there once: then the mutant is out of date. */
export function mutated(text: string, { file, find, replace }: Edit): string {
  if (text.split(find).length !== 2) throw new Error(`${file} does not hold once: ${find}`);
  return text.replace(find, () => replace);
}

/** How the suite is run on a mutant. */
interface Trial {
  seeds: string;
  from: string;
  /** All seeds, and how many of them saw it, instead of the first. */
  every: boolean;
}

async function tryOut(mutant: Mutant, { seeds, from, every }: Trial): Promise<boolean> {
  const folder = await mutate(mutant);
  const startedAt = performance.now();
  const args = ['tests/faults/soak.ts', '--seeds', seeds, '--parallel', every ? '6' : '2'];
  if (from !== '') args.push('--from', from);
  if (!every) args.push('--bail');
  const { stdout, code } = await run(process.execPath, args, { cwd: folder, maxBuffer: 2 ** 26 }).then(
    ({ stdout }) => ({ stdout, code: 0 }),
    (error: { stdout: string; code: number }) => error,
  );
  await rm(folder, { recursive: true });
  const runs = stdout.split(/^(?=.* FAILED after )/m).filter((text) => text.includes('\n  wrong: '));
  const [first = ''] = runs;
  const seen = code === 1 && runs.length > 0;
  const done = /(\d+) seeds \(/.exec(stdout)?.[1];
  const took = `${Math.round((performance.now() - startedAt) / 1000)} s`;
  const unfinished = stdout.split('\n  unfinished: ').length - 1;
  const figures = every ? `by ${runs.length} of ${done} seeds` : `${done} seeds`;
  process.stdout.write(
    `${seen ? 'seen' : 'NOT SEEN'}: ${mutant.name} (${figures}, ${took}, ${unfinished} unfinished)\n`,
  );
  const what = first.split('\n').find((line) => line.startsWith('  wrong: '));
  if (seen) process.stdout.write(`${first.split('\n')[0]}\n${what?.slice(0, 240)}\n`);
  return seen;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      seeds: { type: 'string', default: '60' },
      from: { type: 'string', default: '' },
      every: { type: 'boolean', default: false },
    },
  });
  const { only, ...trial } = values;
  for (const mutant of MUTANTS) {
    if (mutant.name.includes(only) && !(await tryOut(mutant, trial))) process.exitCode = 1;
  }
}
