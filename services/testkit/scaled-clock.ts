import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../shared/clock.ts';

/** A clock that runs `factor` times as fast as the system's: waits of seconds take a test milliseconds. */
export class ScaledClock implements Clock {
  readonly #factor: number;
  readonly #startedAt = Date.now();
  readonly #startedMonotonic = performance.now();

  constructor(factor: number) {
    this.#factor = factor;
  }

  now(): number {
    return Math.floor(this.#startedAt + this.monotonic());
  }

  monotonic(): number {
    return (performance.now() - this.#startedMonotonic) * this.#factor;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms <= 0 || signal?.aborted) return;
    try {
      await delay(ms / this.#factor, undefined, signal ? { signal } : {});
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  }
}
