import type { Detector } from './detector.ts';
import { thresholdDetector } from './threshold.ts';

/** Parameters of all detectors; each takes its own. */
export interface DetectorParameters {
  threshold: number;
}

const detectors = {
  threshold: (p: DetectorParameters): Detector => thresholdDetector(p.threshold),
} as const satisfies Record<string, (parameters: DetectorParameters) => Detector>;

export type DetectorName = keyof typeof detectors;

/** Names that `DETECTOR` accepts. */
export const DETECTOR_NAMES = Object.keys(detectors) as [DetectorName, ...DetectorName[]];

export function createDetector(name: DetectorName, parameters: DetectorParameters): Detector {
  return detectors[name](parameters);
}
