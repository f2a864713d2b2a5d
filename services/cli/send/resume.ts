import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import * as z from 'zod';
import { InputError } from '../backtest/errors.ts';

/** How far a file was sent: kept beside it, so that a run which was cut is gone on with. */
const schema = z.strictObject({
  /** Beginning of the run's idempotency keys. */
  run: z.string(),
  file: z.string(),
  batch: z.int().positive(),
  /** All lines up to this one are stored or refused. */
  line: z.int().nonnegative(),
  stored: z.int().nonnegative(),
  refused: z.int().nonnegative(),
});
export type SendState = z.output<typeof schema>;

export function newState(file: string, batch: number): SendState {
  return { run: `send-${randomUUID()}`, file, batch, line: 0, stored: 0, refused: 0 };
}

/**
 * The state in a file, or a new one where there is none.
 *
 * @throws InputError when it is of another file or batch size: its keys would not fit.
 */
export async function readState(path: string, file: string, batch: number): Promise<SendState> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return newState(file, batch);
    throw new InputError(`--resume: ${(error as Error).message}`, error);
  }
  let state: SendState;
  try {
    state = schema.parse(JSON.parse(text));
  } catch (error) {
    throw new InputError(`--resume: ${path} is not a file that "weir send" wrote`, error);
  }
  if (state.file !== file) throw new InputError(`--resume: ${path} is of ${state.file}, not of ${file}`);
  if (state.batch !== batch)
    throw new InputError(`--resume: ${path} is of --batch ${state.batch}: go on with the same`);
  return state;
}

/** Whole or not at all: a crash while it is written must not cost the place. */
export async function writeState(path: string, state: SendState): Promise<void> {
  await writeFile(`${path}.partial`, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  await rename(`${path}.partial`, path);
}
