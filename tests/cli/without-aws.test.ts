import { describe, expect, it } from 'vitest';
import { backtestSchema, costSchema, keysSchema, simulateSchema } from '../../services/cli/schemas.ts';
import { json, weir } from './cli.ts';

describe('weir without AWS', () => {
  it('prints what its schemas say', async () => {
    const series = 'timestamp,value\n2026-03-01T00:00:00Z,1\n2026-03-01T00:01:00Z,5000\n';
    const report = await json(backtestSchema, ['backtest', '-', '--detector', 'threshold'], {
      input: series,
    });
    expect(report.detectors[0]).toMatchObject({ detector: 'threshold', records: 2, alarms: 1 });
    expect((await json(simulateSchema, ['simulate', '--trace', 'step'])).traces).toHaveLength(1);
    expect((await json(costSchema, ['cost'])).estimate.usd).toBeGreaterThan(0);
    await json(keysSchema, ['keys', 'create', '--client', 'a', '--sources', 'b']);
  });

  it('demo: passes its options on', async () => {
    expect((await weir(['demo', '--help'])).stdout).toContain('--threshold <amount>');
    expect(await weir(['demo', '--events', '1.5'])).toMatchObject({ code: 2 });
    expect(await weir(['demo', '--input', 'nothing.csv', '--exit'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ENOENT'),
    });
  });
});
