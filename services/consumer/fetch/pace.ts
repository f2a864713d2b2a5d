/** Kinesis answers 5 GetRecords calls a second and shard, over all readers. */
const MIN_INTERVAL_MS = 200;
/** A shard that has records is read this often once caught up: leaves 2 of the 5 calls to other readers. */
const ACTIVE_INTERVAL_MS = 330;
/** GetRecords gives 2 MiB a second and shard; after a larger answer calls are throttled until that rate is kept. */
const BYTES_PER_MS = (2 * 1024 * 1024) / 1000;
/** A throttled reader slows down to this at most, and speeds up again by a tenth a read. */
const MAX_INTERVAL_MS = 2_000;
const SLOW_DOWN = 2;
const SPEED_UP = 0.9;
/** How much longer the pause gets with each empty read. */
const IDLE_GROWTH = 1.5;

/**
 * How long to pause between two reads of a shard whose limits are shared with readers that can't be seen: at once while
 * there is more, down to one read in `idleMs` while nothing comes, and slower for a while after each throttle
 * (additive increase, multiplicative decrease, as TCP shares a line).
 */
export class Pace {
  readonly #idleMs: number;
  #fastestMs = MIN_INTERVAL_MS;
  #intervalMs = MIN_INTERVAL_MS;

  /** @param idleMs pause between reads that bring nothing. */
  constructor(idleMs: number) {
    this.#idleMs = Math.max(idleMs, MIN_INTERVAL_MS);
  }

  /** A read was answered. @returns ms from its start to the start of the next. */
  answered(records: number, bytes: number, millisBehindLatest: number): number {
    this.#fastestMs = Math.max(MIN_INTERVAL_MS, this.#fastestMs * SPEED_UP);
    if (millisBehindLatest > 0) this.#intervalMs = MIN_INTERVAL_MS;
    else if (records > 0) this.#intervalMs = Math.min(ACTIVE_INTERVAL_MS, this.#idleMs);
    else this.#intervalMs = Math.min(this.#intervalMs * IDLE_GROWTH, this.#idleMs);
    return Math.max(this.#intervalMs, this.#fastestMs, bytes / BYTES_PER_MS);
  }

  throttled(): void {
    this.#fastestMs = Math.min(this.#fastestMs * SLOW_DOWN, MAX_INTERVAL_MS);
  }
}
