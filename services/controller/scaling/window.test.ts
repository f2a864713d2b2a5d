import { describe, expect, it } from 'vitest';
import { MAX_ENTRIES } from './memory.ts';
import { type Entry, pushMax, pushMin, pushSeen } from './window.ts';

const SPAN = 100_000;

describe('a sliding maximum', () => {
  it('keeps what may still be the highest, and no more', () => {
    const entries = [
      { at: 10_000, value: 9 },
      { at: 60_000, value: 5 },
      { at: 80_000, value: 2 },
    ];
    expect(pushMax(entries, 109_000, 2, SPAN)).toEqual([entries[0], entries[1], { at: 109_000, value: 2 }]);
    expect(pushMax(entries, 110_000, 3, SPAN)).toEqual([entries[1], { at: 110_000, value: 3 }]);
    expect(pushMin([{ at: 1, value: 1 }], 2, 4, SPAN)).toEqual([
      { at: 1, value: 1 },
      { at: 2, value: 4 },
    ]);
  });

  it('is small, and errs towards staying up', () => {
    let entries: { at: number; value: number }[] = [];
    for (let i = 0; i < 100; i++) entries = pushMax(entries, i, 100 - i, SPAN);
    expect(entries).toHaveLength(MAX_ENTRIES);
    expect(entries[0]).toEqual({ at: 68, value: 100 });
  });
});

describe('a maximum over what was seen', () => {
  const push = (entries: Entry[], at: number, value: number, spanMs = SPAN, tickMs = 5_000) =>
    pushSeen(entries, { at, value, current: 4 }, { spanMs, tickMs });

  it('has room for a window that is shorter than a tick', () => {
    expect(push([{ at: 0, value: 4 }], 15_000, 1, 10_000, 15_000)).toEqual([{ at: 15_000, value: 1 }]);
    expect(push([{ at: 0, value: 4 }], 120_000, 1, 60_000, 120_000)).toEqual([{ at: 120_000, value: 1 }]);
    expect(push([], 0, 1, 0, 15_000)).toEqual([{ at: 0, value: 1 }]);
  });

  it('begins with what there is', () => {
    expect(push([], 5, 2)).toEqual([
      { at: 5, value: 4 },
      { at: 5, value: 2 },
    ]);
    expect(push([], 5, 6)).toEqual([{ at: 5, value: 6 }]);
    const late = 5 + 1.2 * SPAN;
    expect(push([{ at: 5, value: 1 }], late, 2)[0]).toEqual({ at: late, value: 4 });
    expect(push([{ at: 5, value: 1 }], late - 1, 1)).toEqual([{ at: late - 1, value: 1 }]);
  });

  it('does not count time that nobody saw, and survives a clock that is set back', () => {
    const entries = [
      { at: 10_000, value: 9 },
      { at: 50_000, value: 3 },
    ];
    expect(push(entries, 70_000, 1).slice(0, 2)).toEqual(entries);
    // 90 s without a look, of which 20 count.
    expect(push(entries, 140_000, 1).slice(0, 2)).toEqual([
      { at: 80_000, value: 9 },
      { at: 120_000, value: 3 },
    ]);
    expect(push(entries, 40_000, 1).slice(0, 2)).toEqual([
      { at: 0, value: 9 },
      { at: 40_000, value: 3 },
    ]);
  });
});
