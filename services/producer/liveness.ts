import { LIVENESS_MS, liveReport } from '../shared/progress.ts';

/** What is told of the batcher. */
export interface Sending {
  /** How long the event that waits longest has waited for a call, in ms. */
  oldestAgeMs: number;
  /** How long the longest call has been under way, in ms. */
  longestCallMs: number;
}

/**
 * Is the producer making progress? By its own time-outs each call ends and each event is answered at its deadline, whatever
 * Kinesis does: so a Kinesis that throttles, hangs or is down fails nothing here, and what is left long after that is stuck. A
 * restart ends it, and its callers may then try again.
 */
export function liveness(
  { oldestAgeMs, longestCallMs }: Sending,
  limits: { EVENT_DEADLINE_MS: number; PUT_TIMEOUT_MS: number },
): { ok: boolean; stalled: Record<string, number> } {
  // An event that is due meets a call at the latest when one of those under way ends. One waits for credentials, then for the
  // answer, and then, after a reshard, perhaps for a map of the shards, which takes no longer than an event may.
  const longestMs = limits.EVENT_DEADLINE_MS + 2 * limits.PUT_TIMEOUT_MS;
  const stalled = Object.entries({ buffer: oldestAgeMs, PutRecords: longestCallMs })
    .map(([part, ms]) => [part, Math.round(ms - longestMs)] as const)
    .filter(([, ms]) => ms > LIVENESS_MS);
  return liveReport(Object.fromEntries(stalled));
}
