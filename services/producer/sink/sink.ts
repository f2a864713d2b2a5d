import { WeirError } from '../../shared/errors.ts';

/** A record as Kinesis takes it. */
export interface SinkRecord {
  readonly partitionKey: string;
  /** Decimal, 0 to 2^128 - 1: decides the shard in place of the partition key's hash. */
  readonly explicitHashKey?: string;
  readonly data: Uint8Array;
}

/** Where Kinesis stored an event. */
export interface StoredPosition {
  shardId: string;
  sequenceNumber: string;
  /** Its place in the aggregate that carried it; undefined when it is a record by itself. */
  subSequenceNumber?: number;
}

/**
 * Why a record or a call failed.
 * - `throttled`: the shard or the stream is over its limits.
 * - `unavailable`: an internal failure, a time-out, a broken connection. It may have been stored all the same.
 * - `rejected`: it will fail again whatever we do (no such stream, no access).
 */
export type SinkFailure = 'throttled' | 'unavailable' | 'rejected';

/** What became of one record of a call. */
export type PutOutcome = StoredPosition | { failure: SinkFailure };

/** Stores records: one call, one attempt. The batcher decides what is sent, and again. */
export interface Sink {
  /**
   * @returns one outcome for each record, in order.
   * @throws SinkError when the call as a whole failed.
   */
  put(records: readonly SinkRecord[]): Promise<PutOutcome[]>;
}

/** A whole call failed. */
export class SinkError extends WeirError {
  readonly failure: SinkFailure;

  constructor(failure: SinkFailure, message: string, cause?: unknown) {
    super(`sink-${failure}`, message, { retryable: failure !== 'rejected', cause });
    this.failure = failure;
  }
}
