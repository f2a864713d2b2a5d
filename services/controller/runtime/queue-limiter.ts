import type { Clock } from '../../shared/clock.ts';

export interface QueueLimits {
  /** First wait of a key that failed, in ms; doubles with each failure. */
  baseMs: number;
  /** Longest wait of a key, in ms. */
  maxMs: number;
  /** Retries a second over all keys. */
  perSecond: number;
  /** Retries at once over all keys. */
  burst: number;
}

/** client-go's defaults, but for the longest wait: its 1,000 s are too long for something that holds an objective of a minute. */
const DEFAULTS: QueueLimits = { baseMs: 5, maxMs: 60_000, perSecond: 10, burst: 100 };

/** How long a failed key waits: exponential for each key, and a token bucket over all, whichever is longer. */
export class QueueLimiter {
  readonly #clock: Clock;
  readonly #limits: QueueLimits;
  readonly #failures = new Map<string, number>();
  #tokens: number;
  #at: number;

  constructor(clock: Clock, limits: Partial<QueueLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...DEFAULTS, ...limits };
    this.#tokens = this.#limits.burst;
    this.#at = clock.monotonic();
  }

  /** Counts a failure of the key. @returns ms to wait. */
  delay(key: string): number {
    const { baseMs, maxMs } = this.#limits;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    return Math.max(Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30)), this.#reserve());
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Takes a token, in advance if there is none. @returns ms until it is there. */
  #reserve(): number {
    const { perSecond, burst } = this.#limits;
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) / 1_000) * perSecond) - 1;
    this.#at = now;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / perSecond) * 1_000;
  }
}
