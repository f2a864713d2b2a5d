import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { errorCode } from '../../shared/errors.ts';
import type { ConsoleMetrics, ReadingName } from '../metrics.ts';

/** Longest pause between two tries of what can't be read, in ms. */
const MAX_PAUSE_MS = 30_000;
const MAX_MESSAGE_LENGTH = 300;

export interface ReadingOptions<T> {
  name: ReadingName;
  /** Pause between two readings, in ms. */
  everyMs: number;
  read: (signal: AbortSignal) => Promise<T>;
  clock: Clock;
  random: Random;
  metrics: ConsoleMetrics;
}

/**
 * One thing that is read again and again, with what came of it last. Readings know nothing of each other: one that is
 * slow or down leaves the others as they are, and what it read before stays, with its age.
 */
export class Reading<T> {
  readonly name: ReadingName;
  /** The last answer; `undefined` before the first. */
  value: T | undefined;
  /** When it came, in ms since the epoch. */
  readAt: number | undefined;
  /** Why the last try failed, for people; `undefined` after one that didn't. */
  problem: string | undefined;
  readonly #options: ReadingOptions<T>;
  #soon: AbortController | undefined;
  #tried = Promise.withResolvers<void>();

  constructor(options: ReadingOptions<T>) {
    this.name = options.name;
    this.#options = options;
  }

  /** Settles when what `run` was called for was read, or tried to be, for the first time. */
  get tried(): Promise<void> {
    return this.#tried.promise;
  }

  /** Reads until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, everyMs } = this.#options;
    const tried = Promise.withResolvers<void>();
    this.#tried = tried;
    for (let failures = 0; !signal.aborted; ) {
      failures = (await this.#once(signal)) ? 0 : failures + 1;
      tried.resolve();
      const pause = Math.min(MAX_PAUSE_MS, everyMs * 2 ** Math.min(failures, 10));
      this.#soon = new AbortController();
      // At least half of it, so that several consoles that fail together spread.
      await clock.sleep(
        failures === 0 ? everyMs : Math.max(everyMs, pause * (0.5 + random() / 2)),
        AbortSignal.any([signal, this.#soon.signal]),
      );
    }
    tried.resolve();
  }

  /** Makes the next reading of `run` come at once. */
  soon(): void {
    this.#soon?.abort();
  }

  /** @returns whether it could be read. */
  async #once(signal: AbortSignal): Promise<boolean> {
    const { name, read, clock, metrics } = this.#options;
    try {
      this.value = await read(signal);
      this.readAt = clock.now();
      this.problem = undefined;
      metrics.reads.inc({ reading: name, outcome: 'done' });
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      this.problem = describeError(error);
      metrics.reads.inc({ reading: name, outcome: 'failed' });
      return false;
    }
  }
}

/** An error in a line for people. */
function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return `${errorCode(error)}: ${message}`.slice(0, MAX_MESSAGE_LENGTH).toWellFormed();
}
