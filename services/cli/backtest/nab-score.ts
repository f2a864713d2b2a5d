/**
 * The score of the Numenta Anomaly Benchmark: Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms: the
 * Numenta Anomaly Benchmark", ICMLA 2015, section III, with the constants of NAB 1.1. An alarm inside a labelled window
 * earns more the earlier it is, only the best one of a window counts; a missed window and each alarm outside cost.
 * One threshold for the whole corpus, found by exhaustive search, stands for the detector's own decision.
 */
export interface NabProfile {
  name: 'standard' | 'reward_low_FP' | 'reward_low_FN';
  truePositive: number;
  falsePositive: number;
  falseNegative: number;
}

export const NAB_PROFILES: readonly NabProfile[] = [
  { name: 'standard', truePositive: 1, falsePositive: 0.11, falseNegative: 1 },
  { name: 'reward_low_FP', truePositive: 1, falsePositive: 0.22, falseNegative: 1 },
  { name: 'reward_low_FN', truePositive: 1, falsePositive: 0.11, falseNegative: 2 },
];

/** The scores of one series and its labelled windows, as indices of their first and last record, in order. */
export interface ScoredSeries {
  scores: ArrayLike<number>;
  windows: readonly (readonly [first: number, last: number])[];
}

interface NabScore {
  /** 0 is the detector that never speaks, 100 the one that speaks once, first, in each window. `NaN` without windows. */
  score: number;
  /** A record is an alarm when its score is at least this. Infinity when silence is best. */
  threshold: number;
}

/** Records at the head of a series that are not scored: 15 %, at most 750. */
export function probation(records: number): number {
  return Math.min(Math.floor(0.15 * records), 750);
}

/** `2 σ(-5 y) - 1`: near 1 at the start of a window (y = -1), 0 at its end, towards -1 behind it. */
export function scaledSigmoid(y: number): number {
  return y > 3 ? -1 : 2 / (1 + Math.exp(5 * y)) - 1;
}

/** What an alarm at each scored record is worth; `window` is -1 outside of all. */
interface Points {
  score: Float64Array;
  worth: Float64Array;
  window: Int32Array;
  windows: number;
}

function points(corpus: readonly ScoredSeries[], profile: NabProfile): Points {
  const size = corpus.reduce((sum, { scores }) => sum + scores.length - probation(scores.length), 0);
  const score = new Float64Array(size);
  const worth = new Float64Array(size);
  const window = new Int32Array(size);
  const earliest = scaledSigmoid(-1);
  let at = 0;
  let windows = 0;
  for (const series of corpus) {
    const skip = probation(series.scores.length);
    let next = 0; // the window that the record lies in, or that comes after it
    for (let i = 0; i < series.scores.length; i++) {
      while (i > (series.windows[next]?.[1] ?? Number.POSITIVE_INFINITY)) next++;
      if (i < skip) continue;
      const [first, last] = series.windows[next] ?? [Number.POSITIVE_INFINITY, 0];
      score[at] = series.scores[i] ?? 0;
      if (i >= first) {
        worth[at] = (profile.truePositive * scaledSigmoid(-(last - i + 1) / (last - first + 1))) / earliest;
        window[at] = windows + next;
      } else {
        const before = series.windows[next - 1];
        const distance = before ? (i - before[1]) / (before[1] - before[0]) : Number.POSITIVE_INFINITY;
        worth[at] = profile.falsePositive * scaledSigmoid(distance);
        window[at] = -1;
      }
      at++;
    }
    windows += series.windows.length;
  }
  return { score, worth, window, windows };
}

/**
 * The best score over all thresholds, or the score at `threshold`.
 * A window without a scored record (it lies in the probation) is left out, since nobody could find it.
 */
export function nabScore(corpus: readonly ScoredSeries[], profile: NabProfile, threshold?: number): NabScore {
  const { score, worth, window, windows } = points(corpus, profile);
  const best = new Float64Array(windows).fill(-profile.falseNegative);
  const count = new Set(window).size - (window.includes(-1) ? 1 : 0);
  const nothing = -profile.falseNegative * count;
  const everything = profile.truePositive * count;
  const normal = (raw: number) =>
    count === 0 ? Number.NaN : (100 * (raw - nothing)) / (everything - nothing);

  const order = Uint32Array.from(score.keys()).sort((a, b) => (score[b] ?? 0) - (score[a] ?? 0));
  let raw = nothing;
  let found: NabScore = { score: normal(raw), threshold: threshold ?? Number.POSITIVE_INFINITY };
  for (let n = 0; n < order.length; n++) {
    const i = order[n] ?? 0;
    const level = score[i] ?? 0;
    if (threshold !== undefined && level < threshold) break;
    const value = worth[i] ?? 0;
    const inside = window[i] ?? -1;
    if (inside < 0) raw += value;
    else {
      const better = Math.max(0, value - (best[inside] ?? 0));
      best[inside] = (best[inside] ?? 0) + better;
      raw += better;
    }
    const next = order[n + 1];
    if (threshold === undefined && next !== undefined && score[next] === level) continue;
    if (threshold !== undefined || normal(raw) > found.score)
      found = { score: normal(raw), threshold: threshold ?? level };
  }
  return found;
}
