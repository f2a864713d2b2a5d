import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { demoSchema } from '../services/cli/schemas.ts';

const TIMEOUT_MS = 60_000;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'demo-'));
});
afterAll(() => rm(folder, { recursive: true }));

interface Demo {
  child: ChildProcess;
  out: () => string;
  err: () => string;
  exit: Promise<number | null>;
}

function demo(...args: string[]): Demo {
  const child = spawn(process.execPath, ['local/demo/main.ts', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return {
    child,
    out: () => out,
    err: () => err,
    exit: once(child, 'close').then(([code]) => code as number),
  };
}

/** The command lines of a process's children, by pid. */
function childrenOf(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync('/proc')) {
    try {
      if (!/^\d+$/.test(name)) continue;
      const parent = /^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1];
      if (Number(parent) === pid) found.set(Number(name), readFileSync(`/proc/${name}/cmdline`, 'utf8'));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

async function gone(pids: Iterable<number>): Promise<void> {
  await vi.waitFor(() => {
    for (const pid of pids)
      expect(() => process.kill(pid, 0), `process ${pid} is still there`).toThrow('ESRCH');
  }, 10_000);
}

describe('npm run demo', () => {
  it('replays flights, checks them, and ends with 0', { timeout: TIMEOUT_MS }, async () => {
    const { exit, out, err } = demo('--exit', '--json', '--events', '400');
    expect(await exit, err()).toBe(0);
    const result = demoSchema.parse(JSON.parse(out()));
    expect(result).toMatchObject({
      ok: true,
      events: 400,
      sent: 400,
      stored: 400,
      scored: 400,
      deadLetters: 0,
    });
    expect(result).toMatchObject({ threshold: 120, problems: [] });
    expect(result.anomalies).toBe(result.expectedAnomalies);
    expect(result.anomalies).toBeGreaterThan(0);
    expect(result.endToEndMs.p99).toBeGreaterThan(0);
    expect(err()).toContain('check passed');
  });

  it('replays own data', { timeout: TIMEOUT_MS }, async () => {
    const file = join(folder, 'orders.csv');
    await writeFile(file, 'shop,total,at,note\nb,700,2026-01-02,"a, b"\na,20.5,2026-01-01,x\n');
    const fields = ['--source-field', 'shop', '--amount-field', 'total', '--timestamp-field', 'at'];
    const { exit, out, err } = demo('--exit', '--json', '--input', file, ...fields, '--threshold', '500');
    expect(await exit, err()).toBe(0);
    expect(demoSchema.parse(JSON.parse(out()))).toMatchObject({
      ok: true,
      events: 2,
      anomalies: 1,
      expectedAnomalies: 1,
    });
  });

  it('stays up until Ctrl-C, then leaves nothing behind', { timeout: TIMEOUT_MS }, async () => {
    const { child, exit, out } = demo('--events', '50');
    await vi.waitFor(() => expect(out()).toContain('Ctrl-C stops everything'), 30_000);
    const parts = childrenOf(child.pid!);
    expect(parts.size).toBe(5);
    child.kill('SIGINT');
    expect(await exit, out()).toBe(0);
    await gone(parts.keys());
  });

  it('can be stopped in the middle, and leaves nothing behind', { timeout: TIMEOUT_MS }, async () => {
    const { child, exit, out } = demo('--exit', '--rate', '50');
    await vi.waitFor(() => expect(out()).toContain('replaying 20,000 events'), 30_000);
    const parts = childrenOf(child.pid!);
    child.kill('SIGINT');
    expect(await exit, out()).toBe(130);
    await gone(parts.keys());
  });

  it('ends with 1 and the last lines of a part that crashed', { timeout: TIMEOUT_MS }, async () => {
    const { child, exit, out } = demo('--exit', '--rate', '50');
    await vi.waitFor(() => expect(out()).toContain('replaying 20,000 events'), 30_000);
    const parts = childrenOf(child.pid!);
    const [consumer] = [...parts].find(([, command]) => command.includes('consumer'))!;
    process.kill(consumer, 'SIGKILL');
    expect(await exit, out()).toBe(1);
    expect(out()).toContain('consumer ended unexpectedly (SIGKILL)');
    expect(out()).toContain('"msg":"lease taken"');
    await gone(parts.keys());
  });

  it('leaves nothing behind when it is killed itself', { timeout: TIMEOUT_MS }, async () => {
    const { child, exit, out } = demo('--rate', '50');
    await vi.waitFor(() => expect(out()).toContain('replaying 20,000 events'), 30_000);
    const parts = childrenOf(child.pid!);
    expect(parts.size).toBe(5);
    child.kill('SIGKILL');
    await exit;
    await gone(parts.keys());
  });

  it.each([
    [['--rate', 'fast'], 'Expected a number greater than 0'],
    [['--events', '1.5'], 'Expected a whole number'],
    [['--input', 'nothing.csv'], "nothing.csv: can't be read (ENOENT)"],
    [['--input', 'README.md'], 'expected a file that ends in .ndjson, .json or .csv'],
    [['--colour'], 'unknown option'],
  ])('says what is wrong with %j, and ends with 2', async (args, message) => {
    const { exit, err } = demo(...args);
    expect(await exit).toBe(2);
    expect(err()).toContain(message);
  });
});
