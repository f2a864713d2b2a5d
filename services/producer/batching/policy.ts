/** PutRecords takes 500 records and 5 MiB a call, partition keys included (API reference, PutRecords). */
export const MAX_CALL_RECORDS = 500;
export const MAX_CALL_BYTES = 5 * 1024 * 1024;

/** What the batcher may do; see `config.ts` for what each means. */
export interface BatchLimits {
  lingerMs: number;
  maxInFlightCalls: number;
}

/** What is there to send, and what is under way. */
export interface BatchState {
  /** Records that could go now: not those whose key has a call in flight. */
  sendableRecords: number;
  sendableBytes: number;
  /** Age of the one that waits longest, in ms. */
  oldestAgeMs: number;
  inFlightCalls: number;
  /** The process is stopping: nobody else will come, so nothing is worth waiting for. */
  draining: boolean;
}

/** Send a call now, look again in so many ms, or wait until something changes. */
export type BatchDecision = { action: 'send' } | { action: 'wait'; ms: number } | { action: 'idle' };

/**
 * When a call leaves. At once while nothing is in flight, so a lone event never waits; else the call under way
 * is the time in which others gather, until a call is full or the linger is over. Under load batches grow by
 * themselves and the number of calls falls.
 */
export function decide(state: BatchState, limits: BatchLimits): BatchDecision {
  if (state.sendableRecords === 0 || state.inFlightCalls >= limits.maxInFlightCalls)
    return { action: 'idle' };
  const full = state.sendableRecords >= MAX_CALL_RECORDS || state.sendableBytes >= MAX_CALL_BYTES;
  if (full || state.draining || state.inFlightCalls === 0) return { action: 'send' };
  const ms = limits.lingerMs - state.oldestAgeMs;
  return ms <= 0 ? { action: 'send' } : { action: 'wait', ms };
}
