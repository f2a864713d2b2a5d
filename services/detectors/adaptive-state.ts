/**
 * Layout of the state of `adaptive`: one DataView over a buffer of its own, so that encoding is a copy and a source
 * costs one small object beside its bytes. Doubles first, then floats, then bytes; little endian.
 */

/** Bins of the time-of-day profiles: one for the fast level, an hour each, 20 minutes each. */
export const PROFILE_BINS = [1, 24, 72] as const;
/** Smoothing of the residuals of each profile: 1 is raw, 0.2 looks at some five records. */
export const SMOOTHING = [1, 0.2] as const;

const BINS = PROFILE_BINS.reduce((sum, bins) => sum + bins, 0);
export const VIEWS = PROFILE_BINS.length * SMOOTHING.length;

/** Records seen. */
export const RECORDS = 0;
/** Slow mean of the amounts. */
export const LEVEL = 8;
/** Mean distance of the amounts from the level. */
export const DEVIATION = 16;
/** `timestamp` of the record before, ms. */
export const LAST_TIME = 24;
/** Mean time between records, ms. */
export const INTERVAL = 32;
/** Score that began the rest, and records of the rest that are left. */
export const PEAK = 40;
export const REST = 48;
/** Earliest `timestamp`, ms. */
export const FIRST_TIME = 56;
/** A pair for each view: smoothed residual, envelope. */
export const VIEW = 64;
export const VIEW_BYTES = 16;
/** Floats: what each bin adds to the level. */
export const MEAN = VIEW + VIEWS * VIEW_BYTES;
/** Bytes: records that each bin has seen, at most 255. */
export const COUNT = MEAN + BINS * 4;

export const STATE_BYTES = COUNT + BINS;

/** No number of a state gets larger than this, the time aside: amounts are cut off below. */
const MAX_NUMBER = 1e38;

/** What is wrong with the bytes of a state; `undefined` when nothing is. */
export function damage(bytes: Uint8Array): string | undefined {
  if (bytes.length !== STATE_BYTES) return `${bytes.length} bytes instead of ${STATE_BYTES}`;
  const state = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < COUNT; at += at < MEAN ? 8 : 4) {
    const value = at < MEAN ? state.getFloat64(at, true) : state.getFloat32(at, true);
    if (!(Math.abs(value) <= (at === LAST_TIME || at === FIRST_TIME ? Number.MAX_VALUE : MAX_NUMBER))) {
      return `${value} at byte ${at}`;
    }
    if (value < 0 && NEVER_NEGATIVE.has(at)) return `a negative number at byte ${at}`;
  }
  return undefined;
}

const NEVER_NEGATIVE = new Set([
  RECORDS,
  DEVIATION,
  INTERVAL,
  PEAK,
  REST,
  ...Array.from({ length: VIEWS }, (_, view) => VIEW + view * VIEW_BYTES + 8),
]);
