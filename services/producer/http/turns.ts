/** How long one piece of work holds the event loop at a stretch, in ms. */
const SLICE_MS = 2;

/**
 * The event loop for long work, in slices: all work that asks for a turn shares one in each turn of the loop, so that
 * what comes in meanwhile waits for one slice, not for one of every batch under way.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #scheduled = false;
  #sliceEndsAt = 0;

  /** Resolves when it is the caller's turn: at first, and each time its slice is `over`. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  /**
   * As `next`, before all others. For work that holds much more between its slices than before its first: it is over
   * before the next one begins, so that not every one under way holds as much.
   */
  again(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.unshift(resolve);
      this.#schedule();
    });
  }

  /** True when the slice is used up. */
  get over(): boolean {
    return performance.now() >= this.#sliceEndsAt;
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#sliceEndsAt = performance.now() + SLICE_MS;
      this.#goOn();
    });
  }

  /** The next one, and what is left of the slice for those behind it: small batches that came together stay together. */
  #goOn(): void {
    this.#waiting.shift()?.();
    // Behind what was just resolved, which runs up to where it waits again.
    queueMicrotask(() => {
      if (!this.over && this.#waiting.length > 0) return this.#goOn();
      this.#scheduled = false;
      this.#schedule();
    });
  }
}
