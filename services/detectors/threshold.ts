import * as z from 'zod';
import type { Detector } from './detector.ts';
import { DetectorStateError } from './errors.ts';

/** Scores above this are cut off, as in the system Weir re-creates. */
const MAX_SCORE = 2;

const positive = z.number().min(1e-100);

export const thresholdParameters = z.strictObject({
  /** In the unit of `amount`. */
  threshold: positive.default(1000),
  /** Thresholds of single sources, by `source`. */
  perSource: z.record(z.string(), positive).default({}),
});

/**
 * The default detector: `score = min(amount / threshold, 2)`, an anomaly when `amount > threshold`.
 * Amounts below zero give negative scores and are never anomalies.
 */
export function thresholdDetector(
  name: string,
  { threshold, perSource }: z.output<typeof thresholdParameters>,
): Detector<undefined> {
  const overrides = new Map(Object.entries(perSource));
  // The original design's name for it; one of several of the kind goes by its own.
  const method = name === 'threshold' ? 'threshold_based' : name;
  return {
    name,
    stateVersion: 1,
    stateless: true,
    initial: () => undefined,
    score: (_state, { source, amount }) => {
      const limit = overrides.size === 0 ? threshold : (overrides.get(source) ?? threshold);
      return {
        // The lower end keeps an amount near -Number.MAX_VALUE finite.
        score: Math.max(-Number.MAX_VALUE, Math.min(amount / limit, MAX_SCORE)),
        isAnomaly: amount > limit,
        method,
      };
    },
    encode: () => new Uint8Array(),
    decode: (bytes, version) => {
      if (version !== 1) throw new DetectorStateError(name, `version ${version} is unknown`);
      if (bytes.length > 0) throw new DetectorStateError(name, `${bytes.length} bytes where none are kept`);
      return undefined;
    },
  };
}
