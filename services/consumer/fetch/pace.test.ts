import { describe, expect, it } from 'vitest';
import { Pace } from './pace.ts';

describe('the pace of polling', () => {
  it('is five reads a second while there is more, three while records come, and one while none do', () => {
    const pace = new Pace(1_000);
    expect(pace.answered(100, 1_000, 5_000)).toBe(200);
    expect(pace.answered(100, 1_000, 0)).toBe(330);
    const empty = Array.from({ length: 10 }, () => pace.answered(0, 0, 0));
    expect(empty).toEqual([...empty].sort((a, b) => a - b));
    expect(empty.at(-1)).toBe(1_000);
    expect(pace.answered(1, 10, 0)).toBe(330);
  });

  it('waits out the 2 MiB a second of the shard, so that it is not throttled for its own large reads', () => {
    expect(new Pace(1_000).answered(10_000, 10 * 1024 * 1024, 60_000)).toBeCloseTo(5_000);
  });

  it('gives way to other readers after a throttle, and comes back slowly', () => {
    const pace = new Pace(200);
    for (let i = 0; i < 5; i++) pace.throttled();
    const after = Array.from({ length: 40 }, () => pace.answered(10, 10, 1_000));
    expect(after[0]).toBeGreaterThan(1_500);
    expect(after.at(-1)).toBe(200);
    expect(after).toEqual([...after].sort((a, b) => b - a));
  });
});
