import type { Clock } from '../../shared/clock.ts';
import type { LeaseStore } from './lease-store.ts';

/**
 * Makes a worker that holds nothing seen by the others, so that they leave it its share and hand leases over to it. It
 * costs one write each third of a lease's time, and only while there is nothing to do; the renewals of a worker that
 * holds leases show it for free.
 */
export class Presence {
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #worker: { workerId: string; address: string };
  readonly #durationMs: number;
  #announcedAt: number | undefined;
  #leaving = false;

  constructor(
    store: LeaseStore,
    clock: Clock,
    worker: { workerId: string; address: string },
    durationMs: number,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#worker = worker;
    this.#durationMs = durationMs;
  }

  /** To be called each round, with whether the worker holds leases. */
  async keep(working: boolean): Promise<void> {
    if (this.#leaving) return;
    if (working) return this.withdraw();
    const now = this.#clock.monotonic();
    if (this.#announcedAt !== undefined && now - this.#announcedAt < this.#durationMs / 3) return;
    await this.#announce(false);
  }

  /** Says that this worker is stopping, so that nobody gives it what it has just given away. */
  leave(): Promise<void> {
    this.#leaving = true;
    return this.#announce(true);
  }

  async withdraw(): Promise<void> {
    if (this.#announcedAt === undefined) return;
    this.#announcedAt = undefined;
    await this.#store.withdraw(this.#worker.workerId);
  }

  async #announce(leaving: boolean): Promise<void> {
    this.#announcedAt = this.#clock.monotonic();
    await this.#store.announce({ ...this.#worker, seenAt: this.#clock.now(), leaving });
  }
}
