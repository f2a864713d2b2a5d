import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PRICES } from '../../shared/prices.ts';

const run = promisify(execFile);
const weir = (...args: string[]) => run(process.execPath, ['services/cli/main.ts', 'cost', ...args]);

describe('weir cost', () => {
  it('says which prices, which total, and how that is against the original design', async () => {
    const { stdout } = await weir('--events-per-second', '25');
    expect(stdout).toContain(`List prices of ${PRICES.region}, ${PRICES.date}`);
    expect(stdout).toMatch(/\ntotal +\d+\.\d\d\n/);
    expect(stdout).toContain("Within the original design's $50-200.");
  });

  it('prints one JSON object for programs', async () => {
    const { stdout } = await weir('--json', '--consumer', 'lambda', '--no-aggregation', '--fanout');
    const { workload, estimate } = JSON.parse(stdout);
    expect(workload).toMatchObject({ consumer: 'lambda', aggregation: false, fanout: true, store: 'all' });
    expect(estimate.usd).toBeGreaterThan(0);
  });

  it.each([
    [['--events-per-second', '-1'], /expected a number from 0/],
    [['--events-per-second', 'many'], /expected a number from 0/],
    [['--store', 'some'], /Allowed choices are all, anomalies/],
    [['--anomaly-share', '1.5'], /expected a number from 0 to 1/],
  ])('refuses %j', async (args, message) => {
    await expect(weir(...args)).rejects.toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(message),
    });
  });
});
