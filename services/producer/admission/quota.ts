/**
 * A quota of events a second for each of many names: the generic cell rate algorithm, one number a name. Bounded in
 * names: those that could send their whole burst again are forgotten first, and they lose nothing by it.
 */
export class Quota {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #maxNames: number;
  /** When each name's bucket is full again, monotonic in ms; in the order of last use. */
  readonly #fullAt = new Map<string, number>();

  /**
   * @param perSecond events; 0: no quota.
   * @param burst events that may come at once.
   */
  constructor(perSecond: number, burst: number, maxNames = 100_000) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#maxNames = maxNames;
  }

  get limited(): boolean {
    return this.#perSecond > 0;
  }

  /**
   * Takes one event of `name` out of its quota.
   *
   * @param now monotonic, in ms.
   * @returns 0, or in how many ms there is room again; then nothing was taken.
   */
  take(name: string, now: number): number {
    if (this.#perSecond === 0) return 0;
    const perEventMs = 1_000 / this.#perSecond;
    const fullAt = Math.max(now, this.#fullAt.get(name) ?? 0) + perEventMs;
    const waitMs = fullAt - now - this.#burst * perEventMs;
    // Rounding of the sums must not cost the last event of a burst.
    if (waitMs > perEventMs * 1e-6) return waitMs;
    this.#fullAt.delete(name);
    this.#fullAt.set(name, fullAt);
    this.#forget(now);
    return 0;
  }

  #forget(now: number): void {
    for (const [name, fullAt] of this.#fullAt) {
      if (fullAt > now && this.#fullAt.size <= this.#maxNames) return;
      this.#fullAt.delete(name);
    }
  }
}
