import type { Clock } from '../../shared/clock.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { Checkpoint } from '../../shared/kcl/position.ts';
import { LeaseLostError } from '../errors.ts';
import type { LeaseStore, OwnerWrite, WorkerRef } from './lease-store.ts';
import type { ShardMeter } from './shard-meter.ts';

/** How often in a lease's time `keep` is to be called. */
export const KEEPS_PER_LEASE = 10;
const MIN_CALL_TIMEOUT_MS = 500;

/**
 * Time-out of a call to the lease table, in ms: a quarter of a lease's time. A renewal begins when at most 0.43 of it are
 * over (a third, and up to one call of `keep`) and must be through at 0.9. So there is room for one call that is never
 * answered, and for making it again; with half of the time, one such call would cost the lease. In return, a table all of whose
 * answers take longer than a quarter can't be worked with.
 */
export function leaseCallTimeoutMs(durationMs: number): number {
  return Math.max(MIN_CALL_TIMEOUT_MS, durationMs / 4);
}

/**
 * A lease this worker owns. Its writes go one after another, since each is conditional on the counter that the
 * one before left. `lost` aborts as soon as the lease is known to be another's, or was not renewed for nearly
 * its time: another worker may have it soon, and this one must fall silent by itself before.
 */
export class HeldLease {
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #durationMs: number;
  /** One call of `keep` before the lease is over: nobody else may take it before this worker has noticed. */
  readonly #silentAfterMs: number;
  readonly #meter: ShardMeter;
  readonly #lost = new AbortController();
  #lease: Lease;
  #renewedAt: number;
  #renewing = false;
  #tail: Promise<unknown> = Promise.resolve();

  /** @param takenAt monotonic ms, from before the write that took the lease. */
  constructor(
    lease: Lease,
    store: LeaseStore,
    clock: Clock,
    durationMs: number,
    takenAt: number,
    meter: ShardMeter,
  ) {
    this.#lease = lease;
    this.#store = store;
    this.#clock = clock;
    this.#durationMs = durationMs;
    this.#silentAfterMs = durationMs * (1 - 1 / KEEPS_PER_LEASE);
    this.#renewedAt = takenAt;
    this.#meter = meter;
  }

  get lease(): Lease {
    return this.#lease;
  }

  get shardId(): string {
    return this.#lease.leaseKey;
  }

  /** Aborts when this worker may no longer write for the shard. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * To be called `KEEPS_PER_LEASE` times in a lease's time: renews after a third of it, and falls silent when it ran out
   * unrenewed. @throws LeaseLostError, or what the renewal failed with.
   */
  async keep(): Promise<void> {
    const age = this.#clock.monotonic() - this.#renewedAt;
    if (age >= this.#silentAfterMs) this.#lost.abort();
    else if (age >= this.#durationMs / 3 && !this.#renewing) {
      this.#renewing = true;
      await this.#update({}).finally(() => {
        this.#renewing = false;
      });
    }
  }

  /** Records that everything up to `checkpoint` is done with; renews too. @throws LeaseLostError */
  checkpoint(checkpoint: Checkpoint, childShardIds?: readonly string[]): Promise<void> {
    return this.#update(childShardIds ? { checkpoint, childShardIds } : { checkpoint });
  }

  /**
   * Gives the lease up, with the last checkpoint in the same write: to `successor`, who is its owner then, or for
   * whoever takes it first. @throws LeaseLostError
   */
  async release(checkpoint: Checkpoint | undefined, successor: WorkerRef | undefined): Promise<void> {
    await this.#update({ ...(checkpoint ? { checkpoint } : {}), release: { to: successor } });
    this.#lost.abort();
  }

  #update(write: OwnerWrite): Promise<void> {
    const run = this.#tail.then(() => this.#write(write));
    this.#tail = run.catch(() => undefined);
    return run;
  }

  async #write(write: OwnerWrite): Promise<void> {
    // A process that was stopped (SIGSTOP, a paused machine) may come back to life right here.
    if (this.#clock.monotonic() - this.#renewedAt >= this.#silentAfterMs) this.#lost.abort();
    if (this.#lost.signal.aborted) throw new LeaseLostError(this.shardId, undefined);
    // From before the write: the owner must count its time as over no later than any observer does.
    const startedAt = this.#clock.monotonic();
    // Checkpoints renew too, so the report rides on whichever write comes when it is due.
    const due = startedAt - this.#meter.reportedAt >= this.#durationMs / 3;
    const reading = due ? this.#meter.read() : undefined;
    try {
      const whole = { ...write, ...(reading ? { report: reading.report } : {}) };
      this.#lease = await this.#store.update(this.#lease, whole, this.lost);
      this.#renewedAt = startedAt;
      if (reading) this.#meter.written(reading);
    } catch (error) {
      if (error instanceof LeaseLostError) this.#lost.abort();
      throw error;
    }
  }
}
