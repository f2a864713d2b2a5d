import { quantileOf } from '../../shared/prometheus.ts';
import type { Counts } from './totals.ts';

/** Rates are of this time, in ms: short enough to be live, long enough to be calm. */
const RATE_MS = 5_000;
/** Quantiles are of this time: a quantile of few events jumps. */
const LATENCY_MS = 10_000;
/** Anomalies are few. */
const ANOMALIES_MS = 60_000;
/** A rate of less time than this is noise. */
const LEAST_MS = 500;

/** What flows; `undefined` is not known, never zero. */
export interface Rates {
  inPerSecond: number | undefined;
  scoredPerSecond: number | undefined;
  anomaliesPerMinute: number | undefined;
  p50Ms: number | undefined;
  p99Ms: number | undefined;
}

/** Rates and quantiles over the last seconds of counters that only grow. */
export class RateWindow {
  readonly #samples: { at: number; counts: Counts }[] = [];

  /** @param at monotonic, in ms. */
  add(at: number, counts: Counts): void {
    if (this.#samples.at(-1)?.at === at) return;
    this.#samples.push({ at, counts });
    while ((this.#samples[1]?.at ?? at) <= at - ANOMALIES_MS) this.#samples.shift();
  }

  clear(): void {
    this.#samples.length = 0;
  }

  rates(): Rates {
    const newest = this.#samples.at(-1);
    const since = (ms: number) => {
      const from = newest && (this.#samples.findLast(({ at }) => at <= newest.at - ms) ?? this.#samples[0]);
      return from && newest.at - from.at >= LEAST_MS ? from : undefined;
    };
    const perSecond = (name: string, ms: number) => {
      const count = newest?.counts[name];
      const from = since(ms);
      if (!newest || !from || count === undefined) return undefined;
      return ((count - (from.counts[name] ?? 0)) * 1_000) / (newest.at - from.at);
    };
    const anomalies = perSecond('anomalies', ANOMALIES_MS);
    const latencyFrom = since(LATENCY_MS);
    const buckets = newest && latencyFrom ? grown(newest.counts, latencyFrom.counts) : [];
    const toMs = (quantile: number) => {
      const seconds = quantileOf(buckets, quantile);
      return seconds === undefined ? undefined : seconds * 1_000;
    };
    return {
      inPerSecond: perSecond('in', RATE_MS),
      scoredPerSecond: perSecond('scored', RATE_MS),
      anomaliesPerMinute: anomalies === undefined ? undefined : anomalies * 60,
      p50Ms: toMs(0.5),
      p99Ms: toMs(0.99),
    };
  }
}

function grown(now: Counts, before: Counts) {
  return Object.entries(now)
    .filter(([name]) => name.startsWith('le:'))
    .map(([name, count]) => ({ bound: Number(name.slice(3)), count: count - (before[name] ?? 0) }))
    .sort((a, b) => a.bound - b.bound);
}
