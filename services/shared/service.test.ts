import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const module = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
/** A service that logs so many lines of a kilobyte, says on standard error that it did, and throws if it is to. */
const SERVICE = `
import { commonEnv } from ${module('config.ts')};
import { runService } from ${module('service.ts')};
await runService('test', commonEnv, async ({ log }) => {
  setInterval(() => {}, 1_000);
  for (let n = 0; n < Number(process.env.LINES); n++) log.info({ pad: 'x'.repeat(1_000) }, 'a line');
  process.stderr.write('started\\n');
  if (process.env.THROWS) setImmediate(() => { throw new Error('nobody caught'); });
});`;

const killers: (() => void)[] = [];
afterEach(() => {
  for (const kill of killers.splice(0)) kill();
});

/** @param stdout where it writes: a file, or a pipe that nobody reads until `read` is called. */
function start(stdout: string | 'pipe', env: { LINES: string; THROWS?: string }) {
  const out = stdout === 'pipe' ? 'pipe' : openSync(stdout, 'w');
  const child = spawn(process.execPath, ['--input-type=module', '-e', SERVICE], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', out, 'pipe'],
  });
  if (out !== 'pipe') closeSync(out);
  killers.push(() => child.kill('SIGKILL'));
  let errors = '';
  const started = new Promise<void>((resolve) => {
    child.stderr?.on('data', (data) => {
      errors += data;
      if (errors.includes('started')) resolve();
    });
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, started, exited, errors: () => errors };
}

describe('a service', () => {
  it.each([{ LINES: '1' }, { LINES: '100' }, { LINES: '100', THROWS: 'yes' }])(
    'stops with exit 1 when the disk that its log goes to is full: %o',
    async (env) => {
      const { exited, errors } = start('/dev/full', env);
      expect(await exited).toBe(1);
      expect(errors()).toContain('ENOSPC');
    },
  );

  it.each([
    [{ LINES: '3000' }, 0],
    [{ LINES: '3000', THROWS: 'yes' }, 1],
  ])('stops on a signal or by an error while nobody reads its log: %o', async (env, code) => {
    const { child, started, exited } = start('pipe', env);
    await started;
    if (code === 0) child.kill('SIGTERM');
    expect(await exited).toBe(code);
  });

  it('stops as ever when the reader of its log has gone away', async () => {
    const { child, started, exited } = start('pipe', { LINES: '3000' });
    child.stdout?.destroy();
    await started;
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });

  it('writes all its lines before it exits', async () => {
    const { child, started, exited } = start('pipe', { LINES: '3000', THROWS: 'yes' });
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    const ended = new Promise((resolve) => child.stdout?.once('close', resolve));
    await started;
    expect(await exited).toBe(1);
    await ended;
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(lines.filter(({ msg }) => msg === 'a line')).toHaveLength(3_000);
    expect(lines.slice(-3).map(({ msg }) => msg)).toEqual([
      'uncaught exception',
      'stopping',
      'stopped with errors',
    ]);
  });

  it('says how many lines a reader missed that hung for long', async () => {
    const { child, started, exited } = start('pipe', { LINES: '20000' });
    await started;
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    const ended = new Promise((resolve) => child.stdout?.once('close', resolve));
    await new Promise<void>((resolve) => {
      child.stdout?.on('data', () => {
        if (text.slice(-1_000).includes('were dropped')) resolve();
      });
    });
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    await ended;
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string; lines?: number });
    const written = lines.filter(({ msg }) => msg === 'a line').length;
    expect(lines.find(({ msg }) => msg.includes('were dropped'))?.lines).toBe(20_000 - written);
    expect(written).toBeGreaterThan(10_000);
  });
});
