import type { BatchDetector, Detector, Verdict } from '../../detectors/detector.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import { type AnyDetector, inBatch, type Scoring } from './scoring.ts';

/** Slices in a row over the limit after which a challenger is out: one may be a garbage collection. */
const SLOW_SLICES = 3;
/** What a slice may take besides, in µs: a model's call has its price for one record too, and code runs cold at first. */
const SLICE_MICROS = 5_000;
/** A slice that takes this long is one too many. */
const STALL_MS = 1_000;

export interface ChallengersDeps {
  detectors: readonly AnyDetector[];
  /** Time that a challenger may take for a record, averaged over a slice, in µs. */
  limitMicros: number;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
}

/**
 * Detectors that see what the champion sees and decide nothing: their verdicts are counted, their states are kept
 * warm. One that throws or is too slow is cut off until the process starts anew: it scores no more, and its states
 * stay in the table as they were last written.
 *
 * A challenger runs on the stream's own thread, so a single call that never returns can't be cut off.
 */
export class Challengers {
  readonly #deps: ChallengersDeps;
  readonly #out = new Set<AnyDetector>();
  readonly #slowSlices = new Map<AnyDetector, number>();

  constructor(deps: ChallengersDeps) {
    this.#deps = deps;
    for (const { name } of deps.detectors) {
      for (const reason of ['threw', 'slow'])
        deps.metrics.challengerCutOffs.inc({ detector: name, reason }, 0);
    }
  }

  /** False for a challenger that was cut off. */
  active(detector: AnyDetector): boolean {
    return !this.#out.has(detector);
  }

  /** Scores a slice with each challenger, in the order of the stream, and compares with the champion's verdicts. */
  async score(slice: readonly Scoring[]): Promise<void> {
    if (slice.length === 0) return;
    for (const [i, detector] of this.#deps.detectors.entries()) {
      if (this.active(detector)) await this.#scoreWith(detector, i + 1, slice);
    }
  }

  /** @param index of its state among those of a source; the champion's is 0. */
  async #scoreWith(detector: AnyDetector, index: number, slice: readonly Scoring[]): Promise<void> {
    const { clock, metrics, limitMicros } = this.#deps;
    const { name } = detector;
    let anomalies = 0;
    let agreed = 0;
    let compared = 0;
    const startedAt = clock.monotonic();
    try {
      const verdicts = 'scoreBatch' in detector ? await this.#inTime(detector, index, slice) : undefined;
      for (const [n, { state, event, verdict }] of slice.entries()) {
        const own = verdicts
          ? (verdicts[n] as Verdict)
          : (detector as Detector).score(state?.detectorStates[index], event);
        if (own.isAnomaly) anomalies++;
        if (!verdict) continue;
        compared++;
        if (own.isAnomaly === verdict.isAnomaly) agreed++;
      }
    } catch (error) {
      this.#cutOff(detector, 'threw', error);
      return;
    }
    const tookMs = clock.monotonic() - startedAt;
    metrics.detectorSeconds.inc({ detector: name, role: 'challenger' }, tookMs / 1000);
    metrics.verdicts.inc({ detector: name, role: 'challenger', verdict: 'anomaly' }, anomalies);
    metrics.verdicts.inc({ detector: name, role: 'challenger', verdict: 'normal' }, slice.length - anomalies);
    metrics.agreement.inc({ challenger: name, verdict: 'agreed' }, agreed);
    metrics.agreement.inc({ challenger: name, verdict: 'differed' }, compared - agreed);

    const slow = tookMs * 1000 > limitMicros * slice.length + SLICE_MICROS;
    const slowSlices = slow ? (this.#slowSlices.get(detector) ?? 0) + 1 : 0;
    this.#slowSlices.set(detector, slowSlices);
    if (slowSlices >= SLOW_SLICES || tookMs >= STALL_MS) {
      this.#cutOff(detector, 'slow', `${Math.round((tookMs * 1000) / slice.length)} µs a record`);
    }
  }

  /** @throws Error when the answer takes too long: what comes later is not waited for. */
  async #inTime(detector: BatchDetector, index: number, slice: readonly Scoring[]): Promise<Verdict[]> {
    const answered = new AbortController();
    const late = this.#deps.clock.sleep(STALL_MS, answered.signal).then(() => undefined);
    try {
      const verdicts = await Promise.race([inBatch(detector, index, slice), late]);
      if (verdicts?.length === slice.length) return verdicts;
      throw new Error(verdicts ? 'not one verdict for each event' : `no answer in ${STALL_MS} ms`);
    } finally {
      answered.abort();
    }
  }

  #cutOff(detector: AnyDetector, reason: 'threw' | 'slow', cause: unknown): void {
    this.#out.add(detector);
    this.#deps.metrics.challengerCutOffs.inc({ detector: detector.name, reason });
    this.#deps.log.error(
      { err: cause, detector: detector.name, reason },
      'a challenger was cut off: it scores no more in this process; the champion goes on',
    );
  }
}
