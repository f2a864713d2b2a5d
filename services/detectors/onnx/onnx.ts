import * as z from 'zod';
import type { BatchDetector, Verdict } from '../detector.ts';
import { DetectorStateError } from '../errors.ts';
import {
  decodeState,
  type FeatureState,
  FIXED_FEATURES,
  initialState,
  recordsOf,
  takeFeatures,
} from './features.ts';
import type { Model } from './model.ts';

export const onnxParameters = z.strictObject({
  /** Path of the model file. */
  model: z.string().min(1),
  /** An anomaly scores at least this. */
  threshold: z.number().default(0.5),
});

/** Records of a source before its first score: until then its level and deviation mean little. */
const WARM_UP = 100;

/** Scores by a model of the user's; `features.ts` says what it sees. The score is the model's. */
export function onnxDetector(
  name: string,
  { threshold }: z.output<typeof onnxParameters>,
  model: Model,
): BatchDetector<FeatureState> {
  const width = model.lags + FIXED_FEATURES;
  return {
    name,
    stateVersion: 1,
    stateless: false,
    initial: initialState,
    async scoreBatch(batch) {
      const features = new Float32Array(batch.length * width);
      const warm = batch.map(({ state, event }, row) => {
        takeFeatures(state, event.amount, event.timestamp, features, row, model.lags);
        return recordsOf(state) >= WARM_UP;
      });
      const scores = batch.length > 0 ? await model.infer(features, batch.length) : [];
      return warm.map((ready, row): Verdict => {
        const score = scores[row] ?? Number.NaN;
        if (!ready) return { score: 0, isAnomaly: false, method: name };
        if (Number.isFinite(score)) return { score, isAnomaly: score >= threshold, method: name };
        return { score: 0, isAnomaly: false, method: name, explanation: 'the model gave no finite score' };
      });
    },
    encode: (state) => new Uint8Array(state.buffer.slice(0)),
    decode(bytes, version) {
      if (version !== 1) throw new DetectorStateError(name, `version ${version} is unknown`);
      return decodeState(bytes, name);
    },
  };
}
