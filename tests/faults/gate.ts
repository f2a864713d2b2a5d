import { once } from 'node:events';
import type { Clock } from '../../services/shared/clock.ts';

/** Where a worker's process stands: it runs, it is stopped as by SIGSTOP, or it is dead. */
export class Gate {
  readonly #dead = new AbortController();
  #closed: { promise: Promise<void>; open: () => void } | undefined;

  /** Aborts when the process is dead. */
  get dead(): AbortSignal {
    return this.#dead.signal;
  }

  /** Resolves when the process is dead. */
  async died(): Promise<void> {
    if (!this.#dead.signal.aborted) await once(this.#dead.signal, 'abort');
  }

  /** Resolves when the process runs; never if it is dead. */
  async passed(): Promise<void> {
    while (this.#closed && !this.#dead.signal.aborted) await this.#closed.promise;
    if (this.#dead.signal.aborted) await new Promise(() => {});
  }

  /** Resolves when the process runs or is dead. */
  async settled(): Promise<void> {
    while (this.#closed && !this.#dead.signal.aborted) await this.#closed.promise;
  }

  close(): void {
    if (this.#closed) return;
    let open = () => {};
    const promise = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#closed = { promise, open };
  }

  open(): void {
    this.#closed?.open();
    this.#closed = undefined;
  }

  kill(): void {
    this.#dead.abort();
    this.open();
  }
}

/** The clock of one worker: it has a wall clock of its own, and nothing goes on while the process is stopped. */
export class GatedClock implements Clock {
  readonly #clock: Clock;
  readonly #gate: Gate;
  /** How far its wall clock is off, in ms. */
  skewMs = 0;

  constructor(clock: Clock, gate: Gate) {
    this.#clock = clock;
    this.#gate = gate;
  }

  now(): number {
    return this.#clock.now() + this.skewMs;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { dead } = this.#gate;
    await this.#clock.sleep(ms, signal ? AbortSignal.any([signal, dead]) : dead);
    await this.#gate.passed();
  }
}

/** A clock whose wall time can be set on, for the stream's own. */
export class JumpingClock implements Clock {
  readonly #clock: Clock;
  #aheadMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now() + this.#aheadMs;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#clock.sleep(ms, signal);
  }

  jump(ms: number): void {
    this.#aheadMs += ms;
  }
}
