/** Time over which the rate is averaged, in ms. */
const WINDOW_MS = 5_000;

/** How fast something is taken: an exponentially weighted mean of amounts per second, in constant memory. */
export class DrainRate {
  readonly #startedAt: number;
  #sum = 0;
  #at: number;

  /** @param now monotonic, in ms, as everywhere here. */
  constructor(now: number) {
    this.#startedAt = now;
    this.#at = now;
  }

  add(amount: number, now: number): void {
    this.#decay(now);
    this.#sum += amount;
  }

  /** Amount a second; 0 when nothing was taken lately. */
  perSecond(now: number): number {
    this.#decay(now);
    // The weights seen so far: a young mean would be too low without it. Not below 100 ms: a first burst is no rate.
    const seen = 1 - Math.exp(-Math.max(now - this.#startedAt, 100) / WINDOW_MS);
    return (this.#sum / (WINDOW_MS / 1_000)) * (1 / seen);
  }

  #decay(now: number): void {
    this.#sum *= Math.exp((this.#at - now) / WINDOW_MS);
    this.#at = now;
  }
}
