import type { BatchDetector, Scoring } from '../../detectors/detector.ts';
import type { Window } from './labels.ts';
import { NAB_PROFILES, nabScore } from './nab-score.ts';
import type { Series } from './read-series.ts';

/** As many as the consumer scores at a time. */
const BATCH = 500;

export interface LabelledSeries extends Series {
  /** Of the file, or its folder in a benchmark. */
  group: string;
  /** `undefined` when the user gave no labels. */
  windows: readonly Window[] | undefined;
}

interface Alarm {
  record: number;
  score: number;
  explanation: string | undefined;
}

/** What one detector said of one series. */
export interface Run {
  series: LabelledSeries;
  scores: Float64Array;
  alarms: Alarm[];
  /** Time within the detector. */
  seconds: number;
}

/** Scores a series from its first record on, with a state of its own. */
export async function run(
  detector: BatchDetector,
  series: LabelledSeries,
  progress: (records: number) => void,
): Promise<Run> {
  const { times, amounts, name: source } = series;
  const state = detector.initial();
  const result: Run = { series, scores: new Float64Array(times.length), alarms: [], seconds: 0 };
  for (let start = 0; start < times.length; start += BATCH) {
    const batch: Scoring[] = [];
    for (let n = start; n < Math.min(start + BATCH, times.length); n++) {
      batch.push({ state, event: { source, amount: amounts[n] ?? 0, timestamp: times[n] ?? 0 } });
    }
    const startedAt = performance.now();
    const verdicts = await detector.scoreBatch(batch);
    result.seconds += (performance.now() - startedAt) / 1000;
    for (const [n, { score, isAnomaly, explanation }] of verdicts.entries()) {
      result.scores[start + n] = score;
      if (isAnomaly) result.alarms.push({ record: start + n, score, explanation });
    }
    progress(batch.length);
  }
  return result;
}

/** How good alarms are against windows. `undefined` where it would be a division by zero. */
export interface Quality {
  windows: number;
  /** Windows with an alarm. */
  found: number;
  /** Alarms outside of all windows. */
  falseAlarms: number;
  /** Share of the alarms that lie in a window. */
  precision: number | undefined;
  /** Share of the windows that have an alarm. */
  recall: number | undefined;
  f1: number | undefined;
}

export function quality(runs: readonly Run[]): Quality {
  let windows = 0;
  let found = 0;
  let inside = 0;
  let alarms = 0;
  for (const { series, alarms: own } of runs) {
    const labelled = series.windows ?? [];
    const within = ({ record }: Alarm, [first, last]: Window) => record >= first && record <= last;
    windows += labelled.length;
    found += labelled.filter((window) => own.some((alarm) => within(alarm, window))).length;
    inside += own.filter((alarm) => labelled.some((window) => within(alarm, window))).length;
    alarms += own.length;
  }
  const precision = alarms > 0 ? inside / alarms : undefined;
  const recall = windows > 0 ? found / windows : undefined;
  const sum = (precision ?? 0) + (recall ?? 0);
  const f1 =
    precision === undefined || recall === undefined || sum === 0 ? undefined : (2 * precision * recall) / sum;
  return { windows, found, falseAlarms: alarms - inside, precision, recall, f1 };
}

/** Score of a NAB profile: with the best threshold, and with the detector's own decision. */
export interface NabResult {
  profile: string;
  score: number;
  threshold: number;
  own: number;
}

/** Of the series that have labels, be it none within. Empty when there is no window at all. */
export function nab(runs: readonly Run[]): NabResult[] {
  const labelled = runs.filter(({ series }) => series.windows);
  if (!labelled.some(({ series }) => series.windows?.length)) return [];
  const corpus = labelled.map(({ scores, series }) => ({ scores, windows: series.windows ?? [] }));
  const decided = labelled.map(({ scores, series, alarms }) => {
    const own = new Uint8Array(scores.length);
    for (const { record } of alarms) own[record] = 1;
    return { scores: own, windows: series.windows ?? [] };
  });
  return NAB_PROFILES.map((profile) => ({
    profile: profile.name,
    ...nabScore(corpus, profile),
    own: nabScore(decided, profile, 1).score,
  }));
}
