import { describe, expect, it } from 'vitest';
import { MAX_ENTRIES } from './memory.ts';
import { pushMax, pushMin, pushSeen } from './window.ts';

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
  it('begins with what there is', () => {
    expect(pushSeen([], 5, 2, 4, SPAN)).toEqual([
      { at: 5, value: 4 },
      { at: 5, value: 2 },
    ]);
    expect(pushSeen([], 5, 6, 4, SPAN)).toEqual([{ at: 5, value: 6 }]);
    expect(pushSeen([{ at: 5, value: 1 }], 5 + SPAN, 2, 4, SPAN)[0]).toEqual({ at: 5 + SPAN, value: 4 });
  });

  it('does not count time that nobody saw, and survives a clock that is set back', () => {
    const entries = [
      { at: 10_000, value: 9 },
      { at: 50_000, value: 3 },
    ];
    expect(pushSeen(entries, 70_000, 1, 4, SPAN).slice(0, 2)).toEqual(entries);
    // 90 s without a look, of which 20 count.
    expect(pushSeen(entries, 140_000, 1, 4, SPAN).slice(0, 2)).toEqual([
      { at: 80_000, value: 9 },
      { at: 120_000, value: 3 },
    ]);
    expect(pushSeen(entries, 40_000, 1, 4, SPAN).slice(0, 2)).toEqual([
      { at: 0, value: 9 },
      { at: 40_000, value: 3 },
    ]);
  });
});
