import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';

interface StopStep {
  name: string;
  stop: () => Promise<void>;
}

export interface ShutdownOptions {
  log: Logger;
  clock: Clock;
  /** Time all steps together may take, in ms. */
  timeoutMs: number;
  /** Ends the process; passed in for tests. */
  exit: (code: number) => void;
}

/**
 * Two-stage stop of a process. The first SIGTERM or SIGINT runs the steps in the order they were added and
 * exits 0. A second signal, a step that fails, or the deadline exits 1, and the log says which steps were left.
 */
export class Shutdown {
  readonly #steps: StopStep[] = [];
  readonly #options: ShutdownOptions;
  readonly #left = new Set<string>();
  #started = false;
  #exited = false;

  constructor(options: ShutdownOptions) {
    this.#options = options;
  }

  /** Adds a step; steps run one after another, first added first. */
  add(name: string, stop: () => Promise<void>): void {
    this.#steps.push({ name, stop });
    this.#left.add(name);
  }

  /** Listens to SIGTERM and SIGINT of this process. */
  listen(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.signal(signal));
  }

  /** What a signal does; `reason` goes to the log. */
  signal(reason: string): void {
    if (this.#started) this.#finish(1, `second signal (${reason}) forced the stop`);
    else void this.run(reason);
  }

  /**
   * Runs the steps. Also what a fatal error of a part calls, with `exitCode` 1: the rest stops cleanly, and the
   * exit code still tells the orchestrator.
   */
  async run(reason: string, exitCode = 0): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    const { log, clock, timeoutMs } = this.#options;
    log.info({ reason }, 'stopping');
    const deadline = new AbortController();
    void clock.sleep(timeoutMs, deadline.signal).then(() => {
      if (!deadline.signal.aborted) this.#finish(1, `stop took longer than ${timeoutMs} ms`);
    });
    let code = exitCode;
    for (const { name, stop } of this.#steps) {
      try {
        await stop();
        this.#left.delete(name);
      } catch (error) {
        code = 1;
        log.error({ err: error, step: name }, 'a step of the stop failed');
      }
    }
    deadline.abort();
    this.#finish(code, code === 0 ? 'stopped' : 'stopped with errors');
  }

  #finish(code: number, message: string): void {
    if (this.#exited) return;
    this.#exited = true;
    const left = [...this.#left];
    if (left.length > 0) this.#options.log.error({ left }, message);
    else this.#options.log.info(message);
    this.#options.exit(code);
  }
}
