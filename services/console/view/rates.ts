import { quantileOf } from '../../shared/prometheus.ts';
import type { Counts } from './totals.ts';

/** Rates are of this time, in ms: short enough to be live, long enough to be calm. */
const RATE_MS = 5_000;
/** Quantiles are of this time: a quantile of few events jumps. */
const LATENCY_MS = 10_000;

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
    while ((this.#samples[1]?.at ?? at) <= at - LATENCY_MS) this.#samples.shift();
  }

  clear(): void {
    this.#samples.length = 0;
  }

  rates(): Rates {
    const newest = this.#samples.at(-1);
    const since = (ms: number) =>
      this.#samples.findLast((sample) => newest !== undefined && sample.at <= newest.at - ms) ??
      this.#samples[0];
    const from = since(RATE_MS);
    const perSecond = (name: string) => {
      const count = newest?.counts[name];
      if (!newest || !from || count === undefined || newest === from) return undefined;
      return ((count - (from.counts[name] ?? 0)) * 1_000) / (newest.at - from.at);
    };
    const anomalies = perSecond('anomalies');
    const buckets = newest && newest !== from ? grown(newest.counts, since(LATENCY_MS)?.counts ?? {}) : [];
    const toMs = (quantile: number) => {
      const seconds = quantileOf(buckets, quantile);
      return seconds === undefined ? undefined : seconds * 1_000;
    };
    return {
      inPerSecond: perSecond('in'),
      scoredPerSecond: perSecond('scored'),
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
