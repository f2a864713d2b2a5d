import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { errorCode, WeirError } from '../../shared/errors.ts';
import type { Progress } from '../../shared/progress.ts';
import type { ConsoleMetrics, ReadingName } from '../metrics.ts';

/** Longest pause between two tries of what can't be read, in ms. */
const MAX_PAUSE_MS = 30_000;
/** A try that takes longer is given up: not every client that is read with has a time-out of its own, in ms. */
const READ_TIMEOUT_MS = 60_000;
const MAX_MESSAGE_LENGTH = 300;

export interface ReadingOptions<T> {
  name: ReadingName;
  /** Pause between two readings, in ms. */
  everyMs: number;
  read: (signal: AbortSignal) => Promise<T>;
  progress: Progress;
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
    const { name, progress, clock, random, everyMs } = this.#options;
    const loop = `reading ${name}`;
    const tried = Promise.withResolvers<void>();
    this.#tried = tried;
    for (let failures = 0; !signal.aborted; ) {
      progress.tick(loop, READ_TIMEOUT_MS);
      failures = (await this.#once(signal)) ? 0 : failures + 1;
      tried.resolve();
      const longest = Math.min(MAX_PAUSE_MS, everyMs * 2 ** Math.min(failures, 10));
      // At least half of it, so that several consoles that fail together spread.
      const pause = failures === 0 ? everyMs : Math.max(everyMs, longest * (0.5 + random() / 2));
      this.#soon = new AbortController();
      progress.tick(loop, pause);
      await clock.sleep(pause, AbortSignal.any([signal, this.#soon.signal]));
    }
    progress.forget(loop);
    tried.resolve();
  }

  /** Makes the next reading of `run` come at once. */
  soon(): void {
    this.#soon?.abort();
  }

  /** @returns whether it could be read. */
  async #once(signal: AbortSignal): Promise<boolean> {
    const { name, read, clock, metrics } = this.#options;
    const done = new AbortController();
    const ended = AbortSignal.any([signal, done.signal]);
    const late = clock.sleep(READ_TIMEOUT_MS, ended).then(() => {
      throw new WeirError('read-timeout', `no answer in ${READ_TIMEOUT_MS / 1_000} s`);
    });
    try {
      this.value = await Promise.race([read(ended), late]);
      this.readAt = clock.now();
      this.problem = undefined;
      metrics.reads.inc({ reading: name, outcome: 'done' });
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      this.problem = describeError(error);
      metrics.reads.inc({ reading: name, outcome: 'failed' });
      return false;
    } finally {
      done.abort();
    }
  }
}

/** An error in a line for people. */
function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return `${errorCode(error)}: ${message}`.slice(0, MAX_MESSAGE_LENGTH).toWellFormed();
}
