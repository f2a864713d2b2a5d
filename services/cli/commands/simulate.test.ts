import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTrace } from '../simulate/csv.ts';

const run = promisify(execFile);
const weir = (...args: string[]) => run(process.execPath, ['services/cli/main.ts', 'simulate', ...args]);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'simulate-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('weir simulate', () => {
  it('runs a trace of a file, and writes JSON and a page that needs nothing from outside', async () => {
    const file = join(folder, '<b>load.csv');
    const html = join(folder, 'page.html');
    await writeFile(
      file,
      'time,rate\n2026-01-01T00:00:00Z,1000\n2026-01-01T00:10:00Z,4000\n2026-01-01T00:20:00Z,500\n',
    );
    const { stdout } = await weir('--csv', file, '--json', '--html', html);
    const { traces } = JSON.parse(stdout);
    expect(traces).toHaveLength(1);
    expect(traces[0]).toMatchObject({ seconds: 1_800, optimum: { dollars: expect.any(Number) } });
    expect(traces[0].outcomes.map(({ policy }: { policy: string }) => policy)).toEqual([
      'weir',
      'weir, replicas only',
      'weir, lag only',
      'keda-kinesis',
      'keda-iterator-age',
      'hpa-cpu',
      'static',
    ]);
    const page = await readFile(html, 'utf8');
    expect(page).toContain('&lt;b&gt;load.csv');
    expect(page).not.toMatch(/<b>|https?:\/\//);
  });

  it('prints a table, and the decisions in sentences', async () => {
    const { stdout } = await weir('--trace', 'step', '--decisions');
    expect(stdout).toMatch(/^trace +policy +s over/);
    expect(stdout).toMatch(/00:30:\d\d {2}.*Goes from 2 to 4 shards/);
  });

  it('names what is wrong with its input', async () => {
    await expect(weir('--trace', 'tsunami')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no trace "tsunami": diurnal'),
    });
    await expect(weir('--csv', join(folder, 'none.csv'))).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('none.csv'),
    });
    await expect(weir('--utilization', '1.5')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('at most 1'),
    });
  });

  it.each([
    ['a\nb\n', 'line 2: "b" is neither seconds nor an ISO 8601 time'],
    ['0,1\n', 'needs at least two lines'],
    ['0,1\n60,-5\n', 'line 2: "-5" is no number of records a second'],
    ['0,1\n60\n', 'line 2: "" is no number'],
    ['60,1\n60,2\n', 'times must grow'],
    ['0,1\n99999999,2\n', 'more than 31 days'],
    ['"0,1\n', 'is no CSV'],
  ])('refuses %j', (text, message) => {
    expect(() => readTrace('load.csv', text)).toThrow(message);
  });
});
