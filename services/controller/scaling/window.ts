import { MAX_ENTRIES } from './memory.ts';

export interface Entry {
  at: number;
  value: number;
}

/**
 * A sliding maximum that is small: an entry stays only while no later one is at least as high. Over `MAX_ENTRIES`
 * two neighbours become one with the higher value and the later time, so it errs towards staying up.
 *
 * @returns the entries with `value` at `at` added and those older than `spanMs` dropped; the first is the maximum.
 */
export function pushMax(entries: readonly Entry[], at: number, value: number, spanMs: number): Entry[] {
  const kept = entries.filter((entry) => entry.at > at - spanMs && entry.at <= at && entry.value > value);
  kept.push({ at, value });
  if (kept.length > MAX_ENTRIES) {
    const [first, second] = kept.splice(0, 2) as [Entry, Entry];
    kept.unshift({ at: second.at, value: first.value });
  }
  return kept;
}

/** The same for the minimum. */
export function pushMin(entries: readonly Entry[], at: number, value: number, spanMs: number): Entry[] {
  const negated = entries.map((entry) => ({ at: entry.at, value: -entry.value }));
  return pushMax(negated, at, -value, spanMs).map((entry) => ({ at: entry.at, value: 0 - entry.value }));
}
