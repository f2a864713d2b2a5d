import type { Verdict } from '../../detectors/detector.ts';

const MINUTE_MS = 60_000;

/** What one minute of a series came to. The minute is that of arrival: an event's own time may be any. */
export interface Rollup {
  /** ms since the epoch, a multiple of 60,000. */
  minute: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  scoreSum: number;
  anomalies: number;
}

/**
 * Takes one record into the open rollup of its series.
 *
 * Approximate arrival times may step back a little within a shard: such a record counts in the minute that is open.
 * So a minute closes once, its figures follow from the records before it alone, and whoever writes them, and however
 * often, writes the same.
 *
 * @returns the rollup that is open now; `open` itself, changed in place, unless a minute began.
 */
export function rollUp(
  open: Rollup | undefined,
  arrivedAt: number,
  amount: number,
  verdict: Verdict,
): Rollup {
  const minute = arrivedAt - (arrivedAt % MINUTE_MS);
  const rollup =
    open && minute <= open.minute
      ? open
      : { minute, count: 0, sum: 0, min: amount, max: amount, scoreSum: 0, anomalies: 0 };
  rollup.count++;
  rollup.sum += amount;
  rollup.min = Math.min(rollup.min, amount);
  rollup.max = Math.max(rollup.max, amount);
  rollup.scoreSum += verdict.score;
  if (verdict.isAnomaly) rollup.anomalies++;
  return rollup;
}
