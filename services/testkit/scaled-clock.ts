import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../shared/clock.ts';

/** A clock that runs `factor` times as fast as the system's: waits of seconds take a test milliseconds. */
export class ScaledClock implements Clock {
  #factor: number;
  /** What it showed when its factor was last set. */
  #base: { real: number; now: number; monotonic: number };

  /** @param epoch when both clocks show the same, in ms since the epoch: give one to processes that share a time. */
  constructor(factor: number, epoch = Date.now()) {
    this.#factor = factor;
    this.#base = { real: performance.now(), now: epoch + (Date.now() - epoch) * factor, monotonic: 0 };
  }

  get factor(): number {
    return this.#factor;
  }

  /** From now on it runs at another speed; who sleeps already sleeps on as before. */
  set factor(factor: number) {
    const { now, monotonic } = this.#base;
    const passed = this.monotonic() - monotonic;
    this.#base = { real: performance.now(), now: now + passed, monotonic: monotonic + passed };
    this.#factor = factor;
  }

  /** When both clocks would have shown the same at the speed of now, in ms since the epoch; for a factor other than 1. */
  get epoch(): number {
    return (Date.now() * this.#factor - this.now()) / (this.#factor - 1);
  }

  now(): number {
    return Math.floor(this.#base.now + this.monotonic() - this.#base.monotonic);
  }

  monotonic(): number {
    const { real, monotonic } = this.#base;
    return monotonic + (performance.now() - real) * this.#factor;
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
