import type { BatchDetector, Verdict } from '../../detectors/detector.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import { type AnyDetector, inBatch, type Scoring } from './scoring.ts';

/** Batches with a record, larger ones counted, that fail before the record is given up. */
const MAX_ATTEMPTS = 5;
const BACKOFF = { baseMs: 50, maxMs: 1_000 };
/** What every detector scores, if it scores anything. */
const PROBE = { source: 'probe', amount: 0, timestamp: 0 };

export interface ChampionDeps {
  detector: AnyDetector;
  clock: Clock;
  random: Random;
  log: Logger;
}

/** A record that the champion failed on. */
export interface Failed {
  scoring: Scoring;
  error: unknown;
}

/**
 * The detector that decides. A record that it fails on has no verdict, and the others of its slice have theirs: the
 * same again would fail again, and a shard must not stand still for one record.
 */
export class Champion {
  readonly #deps: ChampionDeps;

  constructor(deps: ChampionDeps) {
    this.#deps = deps;
  }

  get name(): string {
    return this.#deps.detector.name;
  }

  /**
   * Scores a slice in the order of the stream.
   *
   * @returns the records that it fails on.
   * @throws StoppedError when `signal` aborted; what a detector fails with that scores nothing any more.
   */
  async score(slice: readonly Scoring[], signal: AbortSignal, progress: () => void): Promise<Failed[]> {
    const { detector } = this.#deps;
    const failed: Failed[] = [];
    if ('scoreBatch' in detector) {
      if (slice.length > 0) await this.#scoreBatch(detector, slice, 1, failed, signal, progress);
      return failed;
    }
    for (const scoring of slice) {
      try {
        scoring.verdict = detector.score(scoring.state?.detectorStates[0], scoring.event);
      } catch (error) {
        failed.push({ scoring, error });
      }
    }
    return failed;
  }

  /** A batch that fails is halved, its states as they were, until the one record at fault stands alone. */
  async #scoreBatch(
    detector: BatchDetector,
    batch: readonly Scoring[],
    attempt: number,
    failed: Failed[],
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    const { clock, random, log } = this.#deps;
    if (signal.aborted) throw new StoppedError();
    progress();
    const restore = keepStates(detector, batch);
    try {
      const verdicts = await inBatch(detector, 0, batch);
      if (verdicts.length !== batch.length) throw new Error('not one verdict for each event');
      for (const [n, scoring] of batch.entries()) scoring.verdict = verdicts[n] as Verdict;
      return;
    } catch (error) {
      restore();
      const [only] = batch;
      if (only && batch.length === 1 && attempt >= MAX_ATTEMPTS) {
        // Only a detector that is well otherwise says something about the record.
        await detector.scoreBatch([{ state: detector.initial(), event: PROBE }]);
        failed.push({ scoring: only, error });
        return;
      }
      log.warn(
        { err: error, detector: detector.name, records: batch.length, attempt },
        'the champion failed on a batch: it is tried again in halves',
      );
    }
    if (batch.length === 1) {
      await clock.sleep(fullJitter(attempt, BACKOFF, random), signal);
      await this.#scoreBatch(detector, batch, attempt + 1, failed, signal, progress);
      return;
    }
    // One after the other: a source may have records in both.
    const half = batch.length >> 1;
    await this.#scoreBatch(detector, batch.slice(0, half), attempt + 1, failed, signal, progress);
    await this.#scoreBatch(detector, batch.slice(half), attempt + 1, failed, signal, progress);
  }
}

/** @returns puts the champion's states of a batch back to what they are now: events are taken in before a batch fails. */
function keepStates(detector: BatchDetector, batch: readonly Scoring[]): () => void {
  if (detector.stateless) return () => {};
  const kept = new Map(
    Array.from(new Set(batch.map(({ state }) => state)), (state) => [
      state,
      detector.encode(state?.detectorStates[0]),
    ]),
  );
  return () => {
    for (const [state, bytes] of kept) {
      if (state) state.detectorStates[0] = detector.decode(bytes, detector.stateVersion);
    }
  };
}
