/** Share of the calls in flight that is left after a throttle. */
const DECREASE = 0.5;
/** Those that wait are told of calls that settle at most so often: there may be thousands of both. */
const TELL_EVERY_MS = 500;

interface Waiting {
  start: () => void;
  progress: () => void;
}

/**
 * Bounds the calls in flight to one table, and adapts the bound to what the table takes: additive increase by one
 * call for each round of calls that went well, halved at a throttle, as TCP does (Chiu and Jain, 1989). Calls that
 * were under way when the bound was halved say nothing about the new one, so a burst of throttles halves it once.
 */
export class AdaptiveLimit {
  readonly #clock: { monotonic(): number };
  readonly #max: number;
  #limit: number;
  #inFlight = 0;
  /** Grows at each decrease; a call belongs to the one it began in. */
  #epoch = 0;
  readonly #waiting: Waiting[] = [];
  /** Monotonic ms. */
  #toldAt = Number.NEGATIVE_INFINITY;
  #usedMs = 0;
  /** Monotonic ms up to which `#usedMs` counts. */
  #countedAt: number;

  /** @param max calls in flight at most; the bound begins there. */
  constructor(max: number, clock: { monotonic(): number }) {
    this.#clock = clock;
    this.#countedAt = clock.monotonic();
    this.#max = max;
    this.#limit = max;
  }

  /** Calls that may be in flight now. */
  get current(): number {
    return Math.max(1, Math.floor(this.#limit));
  }

  /** How much of it was used so far: ms in which all of it was, or twice as many in which half of it was. */
  get usedMs(): number {
    this.#count();
    return this.#usedMs;
  }

  /**
   * Runs `call` when there is room; first come, first served.
   *
   * @param call tells by its result if it was throttled.
   * @param progress called at once, and while `call` waits as other calls settle, whosever they are: a queue that moves is
   *   no stuck loop, however slowly the table answers. A call in flight is up to its own time-out.
   */
  async run<T extends { throttled: boolean }>(call: () => Promise<T>, progress: () => void): Promise<T> {
    progress();
    this.#count();
    if (this.#inFlight >= this.current) {
      await new Promise<void>((start) => this.#waiting.push({ start, progress }));
    } else this.#inFlight++;
    const epoch = this.#epoch;
    try {
      const result = await call();
      this.#count();
      if (!result.throttled) this.#limit = Math.min(this.#max, this.#limit + 1 / this.#limit);
      else if (epoch === this.#epoch) {
        this.#limit = Math.max(1, this.#limit * DECREASE);
        this.#epoch++;
      }
      return result;
    } finally {
      this.#count();
      this.#inFlight--;
      this.#tellWaiting();
      while (this.#inFlight < this.current) {
        const next = this.#waiting.shift();
        if (!next) break;
        this.#inFlight++;
        next.start();
      }
    }
  }

  #tellWaiting(): void {
    const now = this.#clock.monotonic();
    if (this.#waiting.length === 0 || now - this.#toldAt < TELL_EVERY_MS) return;
    this.#toldAt = now;
    for (const progress of new Set(this.#waiting.map((one) => one.progress))) progress();
  }

  /** To be called before what is in flight, or may be, changes. */
  #count(): void {
    const now = this.#clock.monotonic();
    this.#usedMs += (now - this.#countedAt) * Math.min(1, this.#inFlight / this.current);
    this.#countedAt = now;
  }
}
