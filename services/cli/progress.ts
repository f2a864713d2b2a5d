import { SingleBar } from 'cli-progress';

/** A bar on the standard error of a terminal, once the work has lasted a second. */
export class Progress {
  readonly #bar: SingleBar;
  readonly #startedAt = performance.now();
  readonly #total: number;
  #done = 0;
  #shown = false;

  constructor(what: string, total: number) {
    this.#bar = new SingleBar({
      format: `${what} {bar} {percentage}%`,
      stream: process.stderr,
      clearOnComplete: true,
    });
    this.#total = total;
  }

  add(amount: number): void {
    this.#done += amount;
    if (!process.stderr.isTTY) return;
    if (!this.#shown && performance.now() - this.#startedAt > 1_000) {
      this.#bar.start(this.#total, this.#done);
      this.#shown = true;
    } else if (this.#shown) this.#bar.update(this.#done);
  }

  stop(): void {
    if (this.#shown) this.#bar.stop();
  }
}
