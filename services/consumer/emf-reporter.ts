import type { Clock } from '../shared/clock.ts';
import { customMetricsLine } from './custom-metrics.ts';
import type { ConsumerMetrics } from './metrics.ts';

/** CloudWatch keeps custom metrics by the minute. */
const INTERVAL_MS = 60_000;

export interface EmfReporterDeps {
  stream: string;
  metrics: Pick<ConsumerMetrics, 'records' | 'sliceSeconds'>;
  clock: Clock;
  /** Takes a line. */
  emit: (line: string) => void;
}

/** Sums since the start. */
interface Sums {
  done: number;
  deadLetters: number;
  slices: number;
  sliceSeconds: number;
}

/** Tells CloudWatch once a minute what a pod got done, from the metrics that Prometheus gets. */
export class EmfReporter {
  readonly #deps: EmfReporterDeps;
  #before: Sums = { done: 0, deadLetters: 0, slices: 0, sliceSeconds: 0 };

  constructor(deps: EmfReporterDeps) {
    this.#deps = deps;
  }

  /** Until `signal` aborts; then once more, for what is left of the minute. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(INTERVAL_MS, signal);
      await this.#report();
    }
  }

  async #report(): Promise<void> {
    const { clock, emit, stream } = this.#deps;
    const now = await this.#sums();
    const before = this.#before;
    this.#before = now;
    const errors = now.deadLetters - before.deadLetters;
    const total = now.done - before.done;
    const slices = now.slices - before.slices;
    const ms = slices === 0 ? 0 : ((now.sliceSeconds - before.sliceSeconds) / slices) * 1000;
    emit(customMetricsLine(stream, clock.now(), { processed: total, total, errors, ms }));
  }

  async #sums(): Promise<Sums> {
    const { records, sliceSeconds } = this.#deps.metrics;
    const sums: Sums = { done: 0, deadLetters: 0, slices: 0, sliceSeconds: 0 };
    for (const { labels, value } of (await records.get()).values) {
      // Passed over as duplicates, or included before: they were counted when they were done.
      if (!['stored', 'rolled_up', 'dead_letter'].includes(String(labels.outcome))) continue;
      sums.done += value;
      if (labels.outcome === 'dead_letter') sums.deadLetters += value;
    }
    for (const { metricName, value } of (await sliceSeconds.get()).values) {
      if (metricName?.endsWith('_count')) sums.slices += value;
      if (metricName?.endsWith('_sum')) sums.sliceSeconds += value;
    }
    return sums;
  }
}
