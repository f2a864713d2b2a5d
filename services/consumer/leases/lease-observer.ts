import type { Lease } from '../../shared/kcl/lease-row.ts';

/**
 * Tells which leases have expired, by this process's own monotonic clock: a lease is expired when its counter
 * stood still for a lease's time since this observer first saw it there. Wall clocks of workers are never
 * compared, so their skew can't cost a live owner its lease.
 */
export class LeaseObserver {
  readonly #durationMs: number;
  readonly #seen = new Map<string, { counter: number; owner: string | undefined; since: number }>();

  constructor(durationMs: number) {
    this.#durationMs = durationMs;
  }

  /**
   * Takes in a full reading of the table.
   *
   * @param now monotonic ms, taken before the reading began.
   * @returns the leases that nobody holds, or whose owner stopped renewing.
   */
  observe(leases: readonly Lease[], now: number): Lease[] {
    const keys = new Set(leases.map((lease) => lease.leaseKey));
    for (const key of this.#seen.keys()) if (!keys.has(key)) this.#seen.delete(key);
    return leases.filter((lease) => {
      const { leaseKey, leaseCounter: counter, leaseOwner: owner } = lease;
      const last = this.#seen.get(leaseKey);
      if (!last || last.counter !== counter || last.owner !== owner) {
        this.#seen.set(leaseKey, { counter, owner, since: now });
        return owner === undefined;
      }
      return owner === undefined || now - last.since >= this.#durationMs;
    });
  }
}
