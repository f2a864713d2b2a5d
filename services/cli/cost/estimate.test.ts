import { describe, expect, it } from 'vitest';
import { estimate, type Workload } from './estimate.ts';

const workload: Workload = {
  eventsPerSecond: 1000,
  eventBytes: 300,
  sources: 100,
  anomalyShare: 0,
  retentionHours: 24,
  itemDays: 30,
  store: 'all',
  stream: 'provisioned',
  consumer: 'pods',
  fanout: false,
  aggregation: true,
};
const usdOf = (w: Workload, what: RegExp) => estimate(w).lines.find((line) => what.test(line.what))?.usd ?? 0;

describe('the estimate of a bill', () => {
  it('is what one calculates by hand for results: 2.628 billion writes at $0.625 a million', () => {
    expect(usdOf(workload, /results/)).toBeCloseTo(1642.5, 2);
    // An anomaly is written to the index too.
    expect(usdOf({ ...workload, anomalyShare: 1 }, /results/)).toBeCloseTo(2 * 1642.5, 2);
    // 300 + 550 bytes are one unit, 500 + 550 two.
    expect(usdOf({ ...workload, eventBytes: 500 }, /results/)).toBeCloseTo(2 * 1642.5, 2);
  });

  it('pays a shard $10.95 a month, and three times as much with a longer retention and fan-out', () => {
    expect(usdOf(workload, /^shards/)).toBeCloseTo(21.9, 2);
    expect(usdOf({ ...workload, retentionHours: 48 }, /^shards/)).toBeCloseTo(51.1, 2);
    expect(usdOf({ ...workload, fanout: true }, /fan-out/)).toBeGreaterThan(21.9);
  });

  it('needs a shard for 700 records a second, and far fewer when they are aggregated', () => {
    expect(estimate({ ...workload, eventsPerSecond: 7000, aggregation: false }).shards).toBe(10);
    expect(estimate({ ...workload, eventsPerSecond: 7000 }).shards).toBe(5);
    expect(estimate({ ...workload, eventsPerSecond: 0 }).shards).toBe(2);
  });

  it('is at least five times less for anomalies and rollups than for all events', () => {
    const tables = (w: Workload) =>
      estimate(w)
        .lines.filter(({ part }) => part === 'tables')
        .reduce((sum, { usd }) => sum + usd, 0);
    const w = { ...workload, anomalyShare: 0.01 };
    expect(tables(w) / tables({ ...w, store: 'anomalies' })).toBeGreaterThan(5);
  });

  it('writes states as `npm run bench -- cost` counted them: some 150,000 units a million events of 500 sources', () => {
    const w = { ...workload, sources: 500, anomalyShare: 0.01, store: 'anomalies' as const };
    const units = usdOf(w, /states/) / 0.625;
    const millionsOfEvents = estimate(w).eventsPerMonth / 1e6;
    expect(units / millionsOfEvents).toBeGreaterThan(0.12);
    expect(units / millionsOfEvents).toBeLessThan(0.17);
    // An invocation's states are written at its end, whatever a pod's interval.
    expect(usdOf({ ...w, consumer: 'lambda' }, /states/)).toBeGreaterThan(usdOf(w, /states/));
  });

  it('never falls when the rate grows, and is a sum of its lines', () => {
    let before = 0;
    for (const eventsPerSecond of [0, 1, 10, 100, 1000, 10_000, 100_000]) {
      for (const consumer of ['pods', 'lambda'] as const) {
        const { usd, lines } = estimate({ ...workload, eventsPerSecond, consumer });
        expect(Number.isFinite(usd)).toBe(true);
        expect(lines.reduce((sum, line) => sum + line.usd, 0)).toBeCloseTo(usd, 6);
        if (consumer === 'lambda') continue;
        expect(usd).toBeGreaterThanOrEqual(before);
        before = usd;
      }
    }
  });

  it('counts an on-demand stream by its hours and gigabytes, not by shards', () => {
    const { lines } = estimate({ ...workload, stream: 'on-demand', aggregation: false });
    expect(lines.filter(({ part }) => part === 'stream').map(({ what }) => what)).toEqual([
      'stream, on demand',
      'data in, on demand',
      'data out, on demand',
    ]);
    // 1,000 records a second, each counted as 1 KB: 2,506 GB a month.
    expect(usdOf({ ...workload, stream: 'on-demand', aggregation: false }, /data in/)).toBeCloseTo(200.5, 1);
  });
});
