import { DetectorStateError } from '../errors.ts';

/**
 * What a model sees of an event, free of the source's own scale. Order of the input's columns:
 *
 * - 0 to k-1: the last k amounts, this one first, as distances from the source's level in mean deviations; 0 before there
 *   were so many;
 * - k, k+1: sine and cosine of the time of day (UTC);
 * - k+2: distance from what this hour of the day was on other days, in mean deviations; 0 while unknown;
 * - k+3: distance from the level of the last 20 records or so, in mean deviations.
 *
 * Distances are cut off at ±20.
 */
export const FIXED_FEATURES = 4;
export const MAX_LAGS = 32;
const MOST = 20;

const DAY_MS = 86_400_000;
const HOURS = 24;
/** As in `adaptive`: amounts beyond are taken for this. */
const MAX_AMOUNT = 1e37;
const LEVEL_RATE = 0.001;
const FAST_RATE = 0.05;
const TINY = 1e-30;

// Layout of the state, doubles. It does not hang on the model, so that another model goes on with it.
const RECORDS = 0;
const LEVEL = 1;
const DEVIATION = 2;
const FAST = 3;
const LAGS = 4;
const MEAN = LAGS + MAX_LAGS;
const COUNT = MEAN + HOURS;
const SIZE = COUNT + HOURS;

export type FeatureState = Float64Array<ArrayBuffer>;

export function initialState(): FeatureState {
  return new Float64Array(SIZE);
}

/** Records that the state has seen. */
export function recordsOf(state: FeatureState): number {
  return state[RECORDS] ?? 0;
}

/**
 * Writes the features of an event to `row` of `into`, and takes the event into `state`.
 *
 * @param lags 1 to MAX_LAGS; a row has `lags + FIXED_FEATURES` columns.
 */
export function takeFeatures(
  state: FeatureState,
  amount: number,
  timestamp: number,
  into: Float32Array,
  row: number,
  lags: number,
): void {
  const get = (at: number) => state[at] ?? 0;
  const x = Math.max(-MAX_AMOUNT, Math.min(MAX_AMOUNT, amount));
  const records = get(RECORDS) + 1;
  state[RECORDS] = records;
  state[LAGS + (records % MAX_LAGS)] = x;
  const level = records === 1 ? x : get(LEVEL);
  const fast = records === 1 ? x : get(FAST);
  const unit = get(DEVIATION) + 1e-9 * Math.abs(level) + TINY;
  const scaled = (distance: number) => Math.max(-MOST, Math.min(MOST, distance / unit));

  const days = timestamp / DAY_MS;
  const time = days - Math.floor(days) || 0;
  const hour = Math.floor(time * HOURS) % HOURS;
  const known = get(COUNT + hour) > 0;
  let at = row * (lags + FIXED_FEATURES);
  for (let back = 0; back < lags; back++) {
    into[at++] = back < records ? scaled(get(LAGS + ((records - back) % MAX_LAGS)) - level) : 0;
  }
  into[at++] = Math.sin(2 * Math.PI * time);
  into[at++] = Math.cos(2 * Math.PI * time);
  into[at++] = known ? scaled(x - get(MEAN + hour)) : 0;
  into[at] = scaled(x - fast);

  const rate = Math.max(1 / records, LEVEL_RATE);
  state[LEVEL] = level + rate * (x - level);
  state[DEVIATION] = get(DEVIATION) + rate * (Math.abs(x - level) - get(DEVIATION));
  state[FAST] = fast + Math.max(1 / records, FAST_RATE) * (x - fast);
  const count = Math.min(get(COUNT + hour) + 1, 1 / FAST_RATE);
  state[COUNT + hour] = count;
  state[MEAN + hour] = get(MEAN + hour) + (x - get(MEAN + hour)) / count;
}

/** @throws DetectorStateError when the bytes are no state of `initialState`'s layout. */
export function decodeState(bytes: Uint8Array, detector: string): FeatureState {
  if (bytes.length !== SIZE * 8) {
    throw new DetectorStateError(detector, `${bytes.length} bytes instead of ${SIZE * 8}`);
  }
  const state = new Float64Array(new Uint8Array(bytes).buffer);
  const bad = state.findIndex((value) => !(Math.abs(value) <= 10 * MAX_AMOUNT));
  if (bad >= 0) throw new DetectorStateError(detector, `${state[bad]} at byte ${bad * 8}`);
  const records = state[RECORDS] ?? 0;
  if (records < 0 || !Number.isInteger(records) || (state[DEVIATION] ?? 0) < 0) {
    throw new DetectorStateError(detector, 'a count or a deviation that can not be');
  }
  const counts = state.subarray(COUNT);
  if (!counts.every((count) => count >= 0 && Number.isInteger(count))) {
    throw new DetectorStateError(detector, 'a count that can not be');
  }
  return state;
}
