import { setTimeout as delay } from 'node:timers/promises';

/** Time as the services see it, passed in so that tests can hold it. */
export interface Clock {
  /** Wall-clock time in ms since the epoch: for timestamps that leave the process. */
  now(): number;
  /** Monotonic time in ms from an arbitrary start: for durations, deadlines and expiry. */
  monotonic(): number;
  /** Waits `ms`, not at all when it isn't positive; resolves early, without throwing, when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    if (ms <= 0 || signal?.aborted) return;
    try {
      await delay(ms, undefined, signal ? { signal } : {});
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  },
};
