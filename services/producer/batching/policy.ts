/** PutRecords takes 500 records and 5 MiB a call, partition keys included (API reference, PutRecords). */
export const MAX_CALL_RECORDS = 500;
export const MAX_CALL_BYTES = 5 * 1024 * 1024;
/**
 * What one call carries for one shard, which takes 1 MiB a second: more would come back throttled, and a burst
 * that fills the shard's second at once keeps its other writers out.
 */
export const MAX_SHARD_BYTES = 256 * 1024;
/**
 * The largest record we send, partition key included: what every stream takes. One larger than a stream takes
 * fails the whole call, with the events of everybody else in it, so it has to be refused before it is queued.
 */
export const MAX_RECORD_BYTES = 1024 * 1024;
/** The largest aggregate: the KPL's `AggregationMaxSize`. Two of Kinesis's payload units of 25 KiB. */
export const MAX_AGGREGATE_BYTES = 51_200;

/** What the batcher may do; see `config.ts` for what each means. */
export interface BatchLimits {
  lingerMs: number;
  maxInFlightCalls: number;
}

/**
 * What of a source's order is kept.
 * - `strict`: events of a source are stored in the order they were accepted, whatever fails. PutRecords may take
 *   a record after refusing an earlier one, so a call carries one record of a source: one event, or one aggregate.
 * - `relaxed`: an event that was posted after the answer to another one is stored after it. Events of a source
 *   that wait for their answers at the same time share a call, and a partial failure may swap them.
 */
export type SourceOrder = 'strict' | 'relaxed';

/**
 * How events become Kinesis records.
 * - `off`: one record each.
 * - `key`: events of one source that go in one call share aggregates.
 * - `shard`: events of all sources of a shard do, as in the KPL.
 */
export type Aggregation = 'off' | 'key' | 'shard';

/** What is there to send, and what is under way. */
export interface BatchState {
  /** Events that could go now: not those whose key has a call in flight. */
  sendableRecords: number;
  sendableBytes: number;
  /** Bytes of the shard that has most to send. */
  fullestShardBytes: number;
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
 * is the time in which others gather, until a call or a shard's part of it is full or the linger is over. Under
 * load batches grow by themselves and the number of calls falls.
 */
export function decide(state: BatchState, limits: BatchLimits, aggregation: Aggregation): BatchDecision {
  if (state.sendableRecords === 0 || state.inFlightCalls >= limits.maxInFlightCalls)
    return { action: 'idle' };
  const full =
    (aggregation === 'off' && state.sendableRecords >= MAX_CALL_RECORDS) ||
    state.fullestShardBytes >= MAX_SHARD_BYTES ||
    state.sendableBytes >= MAX_CALL_BYTES;
  if (full || state.draining || state.inFlightCalls === 0) return { action: 'send' };
  const ms = limits.lingerMs - state.oldestAgeMs;
  return ms <= 0 ? { action: 'send' } : { action: 'wait', ms };
}
