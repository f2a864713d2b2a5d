import { type DestinationStream, pino } from 'pino';

/** Bytes of lines that wait for a reader; what comes on top is dropped. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** Time that `end` waits for a reader that takes nothing, in ms. */
const END_MS = 1_000;
/** The same for one that takes some now and then. */
const END_AT_MOST_MS = 5_000;

/**
 * Standard output for a log: written in the background, so that neither a full disk nor a reader that hangs holds up the
 * process. pino's own destination flushes synchronously at a fatal error and at the exit, and there tries for ever: such a
 * process would answer nothing any more, no SIGTERM either. So it must not flush, and who ends the process awaits `end`.
 *
 * A reader that has gone away (EPIPE) is no failure: the log falls silent.
 */
export class StandardOutput implements DestinationStream {
  // By way of process.stdout, which makes a pipe non-blocking: a write that blocks would hold up the exit.
  readonly #stream = pino.destination({ dest: process.stdout.fd, sync: false, maxLength: MAX_WAITING_BYTES });
  readonly #waiters: (() => void)[] = [];
  #idle = true;
  #lost = false;
  #dropped = 0;
  #writes = 0;

  /**
   * @param on.lost called once, when a line can't be written (ENOSPC …); no more are tried.
   * @param on.dropped called when a reader that hung takes lines again, with how many it missed.
   */
  constructor(on: { lost: (error: NodeJS.ErrnoException) => void; dropped: (lines: number) => void }) {
    const stream = this.#stream;
    stream.flushSync = () => {};
    stream.on('write', () => {
      this.#writes++;
    });
    stream.on('drop', () => {
      this.#dropped++;
    });
    stream.on('drain', () => {
      this.#settle();
      const missed = this.#dropped;
      this.#dropped = 0;
      if (missed > 0) on.dropped(missed);
    });
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#lost) return;
      this.#lost = true;
      this.#settle();
      if (error.code !== 'EPIPE') on.lost(error);
    });
  }

  write(line: string): void {
    if (this.#lost) return;
    this.#idle = false;
    this.#stream.write(line);
  }

  /** Resolves when all lines are written, or when the reader takes none for a second, or goes on for five. */
  async end(): Promise<void> {
    const until = performance.now() + END_AT_MOST_MS;
    for (let before = -1; !this.#idle && this.#writes > before && performance.now() < until; ) {
      before = this.#writes;
      await new Promise<void>((resolve) => {
        this.#waiters.push(resolve);
        setTimeout(resolve, END_MS);
      });
    }
  }

  #settle(): void {
    this.#idle = true;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
