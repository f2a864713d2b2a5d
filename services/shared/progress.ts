import type { Clock } from './clock.ts';

/** A loop that is overdue by more than this is stuck: far beyond what a busy processor or a stopped machine takes, in ms. */
export const LIVENESS_MS = 60_000;

/**
 * When each loop of a process last got on. A loop ticks at each step and each attempt of a call, and says how long the next
 * step may take by its own time-outs; so waiting for a dependency that throttles, hangs or is down is progress, and a stuck
 * await is not. A restart helps against the second only.
 */
export class Progress {
  readonly #clock: Clock;
  /** Monotonic ms at which each loop's next step is due. */
  readonly #due = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param withinMs how long it may take until the next tick: a pause, the time-out of a call. Default 0. */
  tick(loop: string, withinMs = 0): void {
    this.#due.set(loop, this.#clock.monotonic() + withinMs);
  }

  /** The loop ended on purpose. */
  forget(loop: string): void {
    this.#due.delete(loop);
  }

  /** Loops whose next step is overdue by more than `limitMs`, with how long, in ms. */
  stalled(limitMs: number): Record<string, number> {
    const now = this.#clock.monotonic();
    return Object.fromEntries(
      [...this.#due]
        .map(([loop, due]) => [loop, Math.round(now - due)] as const)
        .filter(([, overdueMs]) => overdueMs > limitMs),
    );
  }
}

/** What `/livez` answers: alive as long as nothing is stalled. @param stalled by how much each part is overdue, in ms. */
export function liveReport(stalled: Record<string, number>): {
  ok: boolean;
  stalled: Record<string, number>;
} {
  return { ok: Object.keys(stalled).length === 0, stalled };
}
