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

/** What was seen at a look holds for this share of a window, or so many ticks if that is longer: what comes after is unseen. */
const HOLDS = 0.2;
const HOLDS_TICKS = 4;

/**
 * The maximum over a window of seen time, for going down. A blind look is not entered: it says nothing of what is needed, so it
 * neither counts nor starts the window anew (one a window would keep everything up for ever). Time in which nobody saw anything
 * stops the window's clock, however it came about: missing data, or no controller at all. After a whole window of it, as after no
 * look at all, what there is counts as needed.
 *
 * @param current what there is.
 */
export function pushSeen(
  entries: readonly Entry[],
  { at, value, current }: { at: number; value: number; current: number },
  { spanMs, tickMs }: { spanMs: number; tickMs: number },
): Entry[] {
  const last = entries.at(-1);
  const gap = last ? at - last.at : Number.POSITIVE_INFINITY;
  const unseen = gap - Math.max(spanMs * HOLDS, tickMs * HOLDS_TICKS);
  if (unseen > 0 && unseen >= spanMs) return pushMax([{ at, value: current }], at, value, spanMs);
  // A clock that was set back, or another controller's: entries keep their distances.
  const shift = gap < 0 ? gap : Math.max(0, unseen);
  const moved = entries.map((entry) => ({ ...entry, at: Math.round(entry.at + shift) }));
  return pushMax(moved, at, value, spanMs);
}

/** As `pushMax`, for the minimum. */
export function pushMin(entries: readonly Entry[], at: number, value: number, spanMs: number): Entry[] {
  const negated = entries.map((entry) => ({ at: entry.at, value: -entry.value }));
  return pushMax(negated, at, -value, spanMs).map((entry) => ({ at: entry.at, value: 0 - entry.value }));
}
