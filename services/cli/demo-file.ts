import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { InputError } from './backtest/errors.ts';

/** What a running demo tells `weir --demo`. */
const schema = z.object({
  pid: z.int().positive(),
  /** Environment that points a service at the demo. */
  env: z.record(z.string(), z.string()),
  producerUrl: z.url(),
});
export type DemoFile = z.output<typeof schema>;

function path(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir', 'demo.json');
}

/** Says where the demo is; the last one that started counts. @returns takes it back. */
export function announceDemo(demo: DemoFile): () => void {
  const file = path();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(demo)}\n`, { mode: 0o600 });
  return () => {
    try {
      if (readDemo().pid === demo.pid) rmSync(file, { force: true });
    } catch {
      // Another demo's, or gone already.
    }
  };
}

/** @throws InputError when no demo runs. */
export function readDemo(): DemoFile {
  try {
    const demo = schema.parse(JSON.parse(readFileSync(path(), 'utf8')));
    process.kill(demo.pid, 0);
    return demo;
  } catch (error) {
    throw new InputError('no demo is running: start one with "npm run demo" and leave it open', error);
  }
}
