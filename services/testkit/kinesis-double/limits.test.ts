import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AWS_LIMITS, DAY_MS, Rate, RollingBudget, resolveLimits, ShardRates } from './limits.ts';

const MIB = 1024 * 1024;
const none = resolveLimits('none');

describe('limits', () => {
  it('are all of AWS, none, or some changed', () => {
    expect(resolveLimits('aws')).toEqual(AWS_LIMITS);
    expect(new Set(Object.values(none))).toEqual(new Set([Number.POSITIVE_INFINITY]));
    expect(resolveLimits({ readsPerSecond: 50 })).toEqual({ ...AWS_LIMITS, readsPerSecond: 50 });
  });
});

describe('a rate', () => {
  it('never gives more than one second above its rate, and all of it to who waits', () => {
    const waits = fc.array(fc.record({ waitMs: fc.nat(400), cost: fc.integer({ min: 1, max: 60 }) }));
    fc.assert(
      fc.property(waits, (calls) => {
        const rate = new Rate(100, 0);
        let now = 0;
        let taken = 0;
        for (const { waitMs, cost } of calls) {
          now += waitMs;
          if (rate.tryTake(cost, now)) taken += cost;
        }
        expect(taken).toBeLessThanOrEqual(100 + now / 10 + 1e-6);
        expect(rate.tryTake(100, now + 1_000)).toBe(true);
      }),
    );
  });

  it('is not there when it is infinite', () => {
    const rate = new Rate(Number.POSITIVE_INFINITY, 0);
    for (let i = 0; i < 100; i++) expect(rate.tryTake(1e12, 0)).toBe(true);
  });
});

describe('the rates of a shard', () => {
  it('are 1,000 records and 1 MiB a second in', () => {
    const byCount = new ShardRates(resolveLimits('aws'), 0);
    const count = Array.from({ length: 1_200 }, () => byCount.tryWrite(1, 0)).filter(Boolean).length;
    expect(count).toBe(1_000);
    expect([byCount.tryWrite(1, 0), byCount.tryWrite(1, 1), byCount.tryWrite(1, 1)]).toEqual([
      false,
      true,
      false,
    ]);

    const byBytes = new ShardRates(resolveLimits('aws'), 0);
    expect([byBytes.tryWrite(MIB - 10, 0), byBytes.tryWrite(11, 0), byBytes.tryWrite(10, 0)]).toEqual([
      true,
      false,
      true,
    ]);
    expect([byBytes.tryWrite(MIB / 2, 499), byBytes.tryWrite(MIB / 2, 500)]).toEqual([false, true]);
  });

  it('let one record of 10 MiB into a rested shard, which pays for it afterwards', () => {
    const rates = new ShardRates(resolveLimits('aws'), 0);
    expect(rates.tryWrite(10 * MIB, 0)).toBe(true);
    expect([rates.tryWrite(1, 10_000), rates.tryWrite(1, 10_001)]).toEqual([false, true]);
  });

  it('are 5 reads a second, and none for 5 s after 10 MiB', () => {
    const rates = new ShardRates(resolveLimits('aws'), 0);
    expect(Array.from({ length: 6 }, () => rates.tryRead(0))).toEqual([true, true, true, true, true, false]);
    expect([rates.tryRead(199), rates.tryRead(200)]).toEqual([false, true]);
    rates.read(10 * MIB, 200);
    expect([rates.tryRead(5_199), rates.tryRead(5_201)]).toEqual([false, true]);
  });
});

describe('a rolling budget', () => {
  it('gives so many in any window, not in calendar days', () => {
    const budget = new RollingBudget(10, DAY_MS);
    const taken = Array.from({ length: 11 }, (_, i) => budget.tryTake(i * 1_000));
    expect(taken).toEqual([...Array(10).fill(true), false]);
    expect(budget.tryTake(DAY_MS - 1)).toBe(false);
    expect([budget.tryTake(DAY_MS), budget.tryTake(DAY_MS), budget.tryTake(DAY_MS + 1_000)]).toEqual([
      true,
      false,
      true,
    ]);
  });
});
