import type { Detector } from './detector.ts';

/** Scores above this are cut off, as in the system Weir re-creates. */
const MAX_SCORE = 2;

/**
 * The default detector: `score = min(amount / threshold, 2)`, an anomaly when `amount > threshold`.
 * Amounts below zero give negative scores and are never anomalies.
 *
 * @param threshold in the unit of `amount`, greater than 0.
 */
export function thresholdDetector(threshold: number): Detector<undefined> {
  return {
    name: 'threshold',
    stateVersion: 1,
    stateless: true,
    initial: () => undefined,
    score: (_state, { amount }) => ({
      score: Math.min(amount / threshold, MAX_SCORE),
      isAnomaly: amount > threshold,
      method: 'threshold_based',
    }),
    encode: () => new Uint8Array(),
    decode: () => undefined,
  };
}
