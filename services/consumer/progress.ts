import type { Clock } from '../shared/clock.ts';

/**
 * When each loop of the worker last got on. A loop ticks at each step, at each attempt of a call, and while the queue moves
 * in which its calls stand, so waiting for a throttled or hanging table is progress and a stuck await is not.
 */
export class Progress {
  readonly #clock: Clock;
  readonly #last = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tick(loop: string): void {
    this.#last.set(loop, this.#clock.monotonic());
  }

  /** The loop ended on purpose. */
  forget(loop: string): void {
    this.#last.delete(loop);
  }

  /** Loops that did nothing for `limitMs`, with how long, in ms. */
  stalled(limitMs: number): Record<string, number> {
    const now = this.#clock.monotonic();
    return Object.fromEntries(
      [...this.#last]
        .map(([loop, last]) => [loop, Math.round(now - last)] as const)
        .filter(([, idleMs]) => idleMs > limitMs),
    );
  }
}
