import { NotStoredError } from '../errors.ts';

/** See `config.ts` for what each means. */
export interface AdmissionLimits {
  bufferMaxBytes: number;
  bufferMaxRecords: number;
  bufferMaxAgeMs: number;
}

/** What waits, and how fast it goes. Bytes, ms, bytes a second. */
export interface Waiting {
  bytes: number;
  drainBytesPerSecond: number;
}

export interface AdmissionState extends Waiting {
  records: number;
  draining: boolean;
  /** No call has succeeded for a while. */
  sinkDown: boolean;
}

export interface ShardState extends Waiting {
  /** How long the event that waits longest has waited. */
  oldestAgeMs: number;
  throttled: boolean;
}

/** Clients get a number they can believe: not less than a second, and not so long that they give up on us. */
const MAX_RETRY_AFTER_SECONDS = 60;
/** A sink that is down has no rate to compute with; one request at a time finds out when it is back. */
const SINK_DOWN_RETRY_SECONDS = 5;
/** Another pod is there at once; the client's next connection finds it. */
const DRAINING_RETRY_SECONDS = 1;

/** Whole seconds until what waits is gone at the rate at which it goes. */
export function retryAfterSeconds({ bytes, drainBytesPerSecond }: Waiting): number {
  if (bytes === 0) return 1;
  const seconds = Math.ceil(bytes / Math.max(drainBytesPerSecond, 1));
  return Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, seconds));
}

/**
 * Is there room for `bytes` more? Decided before anything is taken, so a refusal costs the client nothing.
 *
 * @returns why not, with a `Retry-After`; undefined: there is.
 */
export function refusal(
  state: AdmissionState,
  limits: AdmissionLimits,
  bytes: number,
): NotStoredError | undefined {
  if (state.draining)
    return new NotStoredError('draining', 'the producer is stopping', DRAINING_RETRY_SECONDS);
  // One event at a time is let in to find out whether it is back.
  if (state.sinkDown && state.records > 0) {
    return new NotStoredError('sink-unavailable', 'Kinesis does not answer', SINK_DOWN_RETRY_SECONDS);
  }
  if (state.records >= limits.bufferMaxRecords || state.bytes + bytes > limits.bufferMaxBytes) {
    return new NotStoredError('buffer-full', 'too many events wait for Kinesis', retryAfterSeconds(state));
  }
  return undefined;
}

/** As `refusal`, for the shard that an event goes to: one that is behind refuses its own sources only. */
export function shardRefusal(shard: ShardState, limits: AdmissionLimits): NotStoredError | undefined {
  if (shard.oldestAgeMs <= limits.bufferMaxAgeMs) return undefined;
  const after = retryAfterSeconds(shard);
  return shard.throttled
    ? new NotStoredError('throttled', 'the shard of this source takes no more for now', after)
    : new NotStoredError('buffer-full', 'events of this shard have waited too long for Kinesis', after);
}
