import * as z from 'zod';
import {
  COUNT,
  DEVIATION,
  damage,
  FIRST_TIME,
  INTERVAL,
  LAST_TIME,
  LEVEL,
  MEAN,
  PEAK,
  PROFILE_BINS,
  RECORDS,
  REST,
  SMOOTHING,
  STATE_BYTES,
  VIEW,
  VIEW_BYTES,
  VIEWS,
} from './adaptive-state.ts';
import type { Detector } from './detector.ts';
import { DetectorStateError } from './errors.ts';

export const adaptiveParameters = z.strictObject({
  /** 0 reports only what leaves nearly every envelope far behind, 1 what comes near the edge of all of them. */
  sensitivity: z.number().min(0).max(1).default(0.5),
});

const DAY_MS = 86_400_000;
/** Amounts beyond are taken for this, so that no residual leaves the range of a float. */
const MAX_AMOUNT = 1e37;
/** Records before the first score: their residuals set the envelopes. */
const WARM_UP = 100;
/** Nor is there a score in the first day of a source, unless it has had so many records. */
const WARM_UP_DENSE = 2_000;
/** The slowest that the level learns, a record: about 1,000 records of memory. */
const LEVEL_RATE = 0.001;
/** The slowest that a bin learns, a record, and in a day for sources that fill a bin with more than 12 records. */
const BIN_RATE = 0.05;
const BIN_RATE_A_DAY = 0.6;
/** An envelope grows by at most this share for one record: one spike must not blind it. */
const GROWTH = 0.05;
/** After the warm-up, what is farther from the level than so many deviations counts as no farther. */
const REACH = 50;
/** The smoothed view takes a residual for at most this many envelopes of the raw one. */
const SPIKE = 30;
/** What an envelope loses each record. */
const DECAY = 0.0005;
/** Least envelope, in deviations of the source: what is small against its usual range is no anomaly. */
const FLOOR = 0.1;
/** The same against rounding, in levels. */
const ROUNDING = 1e-9;
/** One view says at most "twice as far out as ever": it takes several to raise an alarm. */
const MAX_VOTE = 2;
/** An alarm is followed by a rest of this share of the records seen, within limits. */
const REST_SHARE = 0.03;
const REST_MIN = 5;
const REST_MAX = 150;
/** A record in the rest counts in full only when it tops the one that began it by this factor, else damped. */
const REST_TOPPED = 1.2;
const REST_DAMPING = 0.25;
/** An anomaly scores at least this at sensitivity 1, at 0 that and LIMIT_RANGE, at 0.5 it is 1.1. */
const LEAST_LIMIT = 0.9;
const LIMIT_RANGE = 0.8;
/** By records that a bin has seen: a mean of few is itself off by chance, so what differs from it says less. */
const CONFIDENCE = Float64Array.from({ length: 256 }, (_, seen) => 1 / Math.sqrt(1 + 1 / seen));
/** Below this a number is zero: arithmetic with denormals is slow. */
const TINY = 1e-30;

/**
 * Takes the event into the state; the mean vote of all views, 0 while it warms up, damped in a rest. One function on
 * purpose: a number handed to a function that the engine doesn't inline is put on the heap, which doubled the time.
 */
function assess(state: DataView, amount: number, timestamp: number): number {
  const x = Math.max(-MAX_AMOUNT, Math.min(MAX_AMOUNT, amount));
  const records = state.getFloat64(RECORDS, true) + 1;
  state.setFloat64(RECORDS, records, true);
  const warm = records >= WARM_UP;

  // Mean time between records; goes by those in order, none longer than a day.
  let interval = state.getFloat64(INTERVAL, true);
  const gap = timestamp - state.getFloat64(LAST_TIME, true);
  if (records > 1 && gap >= 0) {
    interval += (records < 101 ? 1 / (records - 1) : 0.01) * (Math.min(gap, DAY_MS) - interval);
    state.setFloat64(INTERVAL, interval, true);
  }
  // Until it has seen a day, a time-of-day profile knows nothing. The earliest time counts: one record whose clock is
  // years ahead must not keep its source young.
  let firstTime = state.getFloat64(FIRST_TIME, true);
  if (Number.isFinite(timestamp)) {
    state.setFloat64(LAST_TIME, timestamp, true);
    if (records === 1 || timestamp < firstTime) firstTime = timestamp;
    state.setFloat64(FIRST_TIME, firstTime, true);
  }
  const young = timestamp - firstTime < DAY_MS;

  // The level, and how far amounts are from it. What is far out must not drag them along.
  const level = records === 1 ? x : state.getFloat64(LEVEL, true);
  const offset = x - level;
  let deviation = state.getFloat64(DEVIATION, true);
  const reach = warm ? REACH * deviation + state.getFloat64(VIEW + 8, true) : 2 * MAX_AMOUNT;
  const taken = offset > reach ? reach : Math.max(offset, -reach);
  const rate = records * LEVEL_RATE < 1 ? 1 / records : LEVEL_RATE;
  const nextLevel = level + rate * taken;
  state.setFloat64(LEVEL, Math.abs(nextLevel) < TINY ? 0 : nextLevel, true);
  deviation += rate * (Math.abs(taken) - deviation);
  state.setFloat64(DEVIATION, deviation < TINY ? 0 : deviation, true);
  const floor = FLOOR * deviation + ROUNDING * Math.abs(level) + TINY;
  let growth = warm ? 1 + GROWTH : Number.POSITIVE_INFINITY;

  const dailyRate = Math.max(interval, 1) * (BIN_RATE_A_DAY / DAY_MS);
  const days = timestamp / DAY_MS;
  let time = days - Math.floor(days);
  if (!(time < 1)) time = 0; // a timestamp that is none
  let votes = 0;
  let most = 0;
  let view = VIEW;
  let first = 0;
  for (let profile = 0; profile < PROFILE_BINS.length; profile++) {
    const bins = PROFILE_BINS[profile] as number;
    // Between the middles of two bins, the line through both; only one of them known, that one.
    const bin = (time * bins) | 0;
    const position = time * bins - bin - 0.5;
    const beside = position < 0 ? (bin === 0 ? bins - 1 : bin - 1) : bin + 1 === bins ? 0 : bin + 1;
    const count = state.getUint8(COUNT + first + bin);
    const countBeside = state.getUint8(COUNT + first + beside);
    const mean = state.getFloat32(MEAN + (first + bin) * 4, true);
    const meanBeside = state.getFloat32(MEAN + (first + beside) * 4, true);
    let residual = 0;
    if (count > 0) {
      const weight = countBeside > 0 ? Math.abs(position) : 0;
      const seen = countBeside > 0 && countBeside < count ? countBeside : count;
      residual = (offset - mean - weight * (meanBeside - mean)) * (CONFIDENCE[seen] as number);
    } else if (countBeside > 0) {
      residual = (offset - meanBeside) * (CONFIDENCE[countBeside] as number);
    }

    if (young && profile > 0) {
      // Until it has seen a day, a time-of-day profile takes what it sees for usual, short of a spike, and has no vote.
      growth = Number.POSITIVE_INFINITY;
      if (warm) residual = residual > most ? most : Math.max(residual, -most);
    }
    const counted = votes;

    // Views: the residual, raw and smoothed, against its envelope.
    let edge = 0;
    for (let smoothing = 0; smoothing < SMOOTHING.length; smoothing++) {
      const before = state.getFloat64(view, true);
      const smooth = before + (SMOOTHING[smoothing] as number) * (residual - before);
      const size = Math.abs(smooth);
      state.setFloat64(view, size < TINY ? 0 : smooth, true);
      let envelope = state.getFloat64(view + 8, true);
      if (envelope < floor) envelope = floor;
      let next = envelope;
      if (size > envelope) {
        next = Math.min(size, envelope * growth);
        votes += size < MAX_VOTE * envelope ? size / envelope : MAX_VOTE;
      } else {
        votes += size / envelope;
      }
      next *= 1 - DECAY;
      state.setFloat64(view + 8, next, true);
      if (smoothing === 0) {
        // A spike must not stay in the smoothed view for long.
        edge = Math.max(next, floor);
        most = SPIKE * edge;
        residual = residual > most ? most : Math.max(residual, -most);
      }
      view += VIEW_BYTES;
    }

    if (young && profile > 0) votes = counted;
    // The bin learns; what its envelope doesn't hold must not drag it along.
    const seen = count < 255 ? count + 1 : 255;
    state.setUint8(COUNT + first + bin, seen);
    let error = offset - mean;
    if (seen > 3) error = error > edge ? edge : Math.max(error, -edge);
    const steady = Math.min(dailyRate * bins, BIN_RATE);
    const learned = mean + (steady * seen < 1 ? error / seen : error * steady);
    state.setFloat32(MEAN + (first + bin) * 4, Math.abs(learned) < TINY ? 0 : learned, true);
    first += bins;
  }
  if (!warm || (young && records < WARM_UP_DENSE)) return 0;
  votes /= young ? SMOOTHING.length : VIEWS;

  // One incident is reported once, or again when it gets worse.
  const left = state.getFloat64(REST, true) - 1;
  const resting = left > 0 && votes <= state.getFloat64(PEAK, true) * REST_TOPPED;
  if (!resting && votes > 1) {
    const share = REST_SHARE * records;
    state.setFloat64(PEAK, votes, true);
    state.setFloat64(REST, share < REST_MIN ? REST_MIN : Math.min(share, REST_MAX), true);
  } else {
    state.setFloat64(REST, Math.max(left, 0), true);
  }
  return resting ? votes * REST_DAMPING : votes;
}

function explain(state: DataView, amount: number): string {
  const show = (value: number) => Number(value.toPrecision(4));
  const level = state.getFloat64(LEVEL, true);
  const edge = state.getFloat64(VIEW + 8, true);
  return `amount ${show(amount)} is outside what this source's level (${show(level)}) and time of day explain; records mostly stay within ${show(edge)} of that`;
}

/**
 * Learns each source: how far a record is from its level and time-of-day profiles, against how far records have been
 * before. `score` is 0 to 2 and does not hang on `sensitivity`: 1 is the edge of what was seen, 2 twice as far in every
 * view. `services/detectors/README.md` explains it.
 */
export function adaptiveDetector(
  name: string,
  { sensitivity }: z.output<typeof adaptiveParameters>,
): Detector<DataView> {
  const limit = LEAST_LIMIT + LIMIT_RANGE * (1 - sensitivity) ** 2;
  return {
    name,
    stateVersion: 1,
    stateless: false,
    initial: () => new DataView(new ArrayBuffer(STATE_BYTES)),
    score(state, { amount, timestamp }) {
      const score = assess(state, amount, timestamp);
      if (score < limit) return { score, isAnomaly: false, method: name };
      return { score, isAnomaly: true, method: name, explanation: explain(state, amount) };
    },
    encode: (state) => new Uint8Array(state.buffer.slice(0)),
    decode(bytes, version) {
      if (version !== 1) throw new DetectorStateError(name, `version ${version} is unknown`);
      const problem = damage(bytes);
      if (problem) throw new DetectorStateError(name, problem);
      // A copy: `slice` of a Buffer would be a view into what it was cut from.
      return new DataView(new Uint8Array(bytes).buffer);
    },
  };
}
