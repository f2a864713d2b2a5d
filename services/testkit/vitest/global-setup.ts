import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { startDynalite, startKinesisLocal } from '../emulators.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Endpoint of the run's one `kinesis-local`; use stream names of your own. */
    kinesisEndpoint: string;
    /** Endpoint of the run's one `dynalite`, or of DynamoDB Local; use table names of your own. */
    dynamodbEndpoint: string;
  }
}

const SURVIVOR_GRACE_MS = 5_000;

/** One pair of emulators for the whole run. At the end the run fails if any process that it started, however indirectly, is still there. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const run = randomUUID();
  process.env.WEIR_TEST_RUN = run;
  // The same services and commands start again and again: what one has compiled the next one only loads.
  const compileCache = mkdtempSync(join(tmpdir(), 'weir-compile-cache-'));
  process.env.NODE_COMPILE_CACHE = compileCache;
  // Another DynamoDB that runs already: scripts/test-dynamodb.ts.
  const other = process.env.WEIR_TEST_DYNAMODB;
  const [kinesis, dynalite] = await Promise.all([startKinesisLocal(), other ? undefined : startDynalite()]);
  project.provide('kinesisEndpoint', kinesis.endpoint);
  project.provide('dynamodbEndpoint', dynalite?.endpoint ?? other ?? '');
  return async () => {
    await Promise.all([kinesis.stop(), dynalite?.stop()]);
    const deadline = Date.now() + SURVIVOR_GRACE_MS;
    let left = survivors(run);
    while (left.length > 0 && Date.now() < deadline) {
      await sleep(100);
      left = survivors(run);
    }
    rmSync(compileCache, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`the tests left processes behind:\n${left.join('\n')}`);
  };
}

/** The processes that carry the run's mark in their environment; empty where there is no /proc. */
function survivors(run: string): string[] {
  if (process.platform !== 'linux') return [];
  const found: string[] = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`WEIR_TEST_RUN=${run}`)) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
      if (command !== '' && !command.includes('vitest')) found.push(`${pid} ${command}`);
    } catch {
      // It ended while we looked, or it is not ours to read.
    }
  }
  return found;
}
