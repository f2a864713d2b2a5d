import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Script } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeirError } from '../../shared/errors.ts';
import type { Report } from '../backtest/report.ts';
import { backtest } from './backtest.ts';

const MINUTE = 60_000;
const START = Date.parse('2026-03-01T00:00:00Z');
const HOSTILE = '</script><script>alert(1)</script>';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backtest-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function weir(args: string[], input?: string) {
  const child = spawn(process.execPath, ['services/cli/main.ts', 'backtest', ...args]);
  child.stdin.end(input ?? '');
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);
  return { stdout, stderr, code };
}

/** Days of a source that swings between 0 and 200 each day; record 2000 is far out. */
function csv(): string {
  const rows = Array.from({ length: 2_304 }, (_, n) => {
    const usual = 100 - 100 * Math.cos((n / 288) * 2 * Math.PI) + ((n * 7919) % 101) / 20;
    return `${new Date(START + n * 5 * MINUTE).toISOString()},${n === 2_000 ? 1_500 : usual}`;
  });
  return `timestamp,value\n${rows.join('\n')}\n`;
}
const at = (record: number) => new Date(START + record * 5 * MINUTE).toISOString();

describe('weir backtest', () => {
  it('finds a labelled anomaly and scores it', async () => {
    const labels = join(folder, 'labels.json');
    await writeFile(labels, JSON.stringify([[at(1_990), at(2_030)]]));
    const { stdout, stderr, code } = await weir(['-', '--labels', labels, '--json'], csv());
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const { detectors } = JSON.parse(stdout) as Report;
    expect(detectors.map(({ detector }) => detector)).toEqual(['threshold', 'adaptive']);
    for (const { records, quality, nab, bySeries, microsecondsPerRecord } of detectors) {
      expect(records).toBe(2_304);
      expect(microsecondsPerRecord).toBeGreaterThan(0);
      expect(bySeries[0]?.alarms).toContainEqual(
        expect.objectContaining({ record: 2_000, timestamp: at(2_000), amount: 1_500 }),
      );
      expect(quality).toMatchObject({ windows: 1, found: 1, recall: 1 });
      expect(nab?.map(({ profile }) => profile)).toEqual(['standard', 'reward_low_FP', 'reward_low_FN']);
      expect(nab?.[0]?.score).toBeGreaterThan(90);
    }
    expect(detectors[0]?.quality).toMatchObject({ falseAlarms: 0, precision: 1, f1: 1 });
  });

  it('draws a page that holds everything and nothing that a file smuggles in', async () => {
    const page = join(folder, 'page.html');
    const rows = [1, 2, 5_000].map((amount, n) => ({ source: HOSTILE, amount, timestamp: START + n }));
    const ndjson = rows.map((row) => JSON.stringify(row)).join('\n');
    const { code, stdout } = await weir(['-', '-d', 'threshold', '--html', page], ndjson);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^detector +series +records +alarms/);
    const html = await readFile(page, 'utf8');
    expect(html).not.toContain(HOSTILE);
    expect(html.match(/<script/g)).toHaveLength(3);
    expect(html).not.toMatch(/(src|href)\s*=\s*["']?(https?:)?\/\//);
    expect(html).toContain("default-src 'none'");
    for (const [, code = ''] of html.matchAll(/<script>(.*?)<\/script>/gs)) new Script(code); // compiles
    const [, data = ''] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html) ?? [];
    const { plots } = JSON.parse(data);
    expect(plots).toMatchObject([{ title: HOSTILE, amounts: [1, 2, 5_000], alarms: [{ amounts: [5_000] }] }]);
  });

  it('scores a folder laid out as NAB by group', async () => {
    const nab = join(folder, 'nab');
    await mkdir(join(nab, 'data', 'ours'), { recursive: true });
    await writeFile(join(nab, 'data', 'ours', 'swing.csv'), csv());
    await writeFile(
      join(nab, 'windows.json'),
      JSON.stringify({ 'ours/swing.csv': [['2026-03-07 22:00:00.000000', '2026-03-08 00:00:00.000000']] }),
    );
    const { stdout, code } = await weir(['--nab', nab, '-d', 'adaptive']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/adaptive +ours +1 +1 +1 /);
    expect(stdout).toMatch(/adaptive +standard +\d\.\d+ +\d+\.\d +\d+\.\d/);
    expect(stdout).toContain('reward_low_FN');
  });

  it.each([
    [['EMPTY', '-d', 'nonesuch'], 'there is no detector "nonesuch"; there are: threshold, adaptive'],
    [['EMPTY', '--params', '[]'], '--params: expected a JSON object'],
    [['EMPTY', '--params', '{"threshold":{"threshold":-1}}'], 'parameters of detector threshold'],
    [['EMPTY'], 'empty.csv: no records'],
    [['no-such-file.csv'], 'no-such-file.csv: ENOENT'],
    [['EMPTY', '--labels', 'no-such-labels.json'], 'no-such-labels.json'],
    [['--nab', 'no-such-folder'], 'neither labels/combined_windows.json nor windows.json'],
    [[], 'name at least one file'],
    [['a.csv', '--nab', '.'], '--nab brings its own'],
    [['ONE', '--html', 'no-such-folder/page.html'], '--html: ENOENT'],
  ])('refuses %j with a message', async (args, message) => {
    const empty = join(folder, 'empty.csv');
    const one = join(folder, 'one.csv');
    await Promise.all([writeFile(empty, ''), writeFile(one, 'timestamp,value\n2026-03-01,1\n')]);
    const command = backtest.parseAsync(
      args.map((arg) => ({ EMPTY: empty, ONE: one })[arg] ?? arg),
      { from: 'user' },
    );
    await expect(command).rejects.toThrow(message);
    await expect(command).rejects.toBeInstanceOf(WeirError);
  });

  it('refuses labels of a series that is not there', async () => {
    const labels = join(folder, 'misspelt.json');
    await writeFile(labels, '{"boilr": []}');
    const { stderr, code } = await weir(
      ['-', '--labels', labels],
      'timestamp,value,source\n2026-03-01,1,boiler\n',
    );
    expect(stderr).toBe('weir: there are labels of boilr, but no such series\n');
    expect(code).toBe(2);
  });
});
