import { type BackoffOptions, fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { NotStoredError, RecordTooLargeError } from '../errors.ts';
import type { ProducerMetrics } from '../metrics.ts';
import {
  type PutOutcome,
  type Sink,
  SinkError,
  type SinkFailure,
  type StoredPosition,
} from '../sink/sink.ts';
import { Lanes, type Queued } from './lanes.ts';
import { type BatchLimits, decide, MAX_RECORD_BYTES, recordsPerKey, type SourceOrder } from './policy.ts';

const BACKOFF: BackoffOptions = { baseMs: 50, maxMs: 1_000 };
/** At most one line about failed calls in this time: while Kinesis is down there are dozens a second. */
const LOG_INTERVAL_MS = 5_000;

export interface BatcherLimits extends BatchLimits {
  sourceOrder: SourceOrder;
  /** Time from acceptance after which an event is not sent again, in ms. */
  eventDeadlineMs: number;
  bufferMaxBytes: number;
  bufferMaxRecords: number;
}

export interface BatcherDeps {
  sink: Sink;
  limits: BatcherLimits;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ProducerMetrics;
}

interface Pending extends Queued {
  readonly data: Uint8Array;
  readonly deadline: number;
  attempts: number;
  /** Why the last attempt failed. */
  failure: SinkFailure | undefined;
  resolve(position: StoredPosition): void;
  reject(error: NotStoredError): void;
}

/**
 * Gathers events into PutRecords calls and answers each caller with its own shard and sequence number.
 *
 * Only what failed is sent again, with full jitter, until the event's deadline; then its caller is told. A call
 * that timed out may have been stored: the same bytes, `request_id` included, go again, so it counts once
 * downstream. The buffer is bounded by bytes and by count, and says no before it takes an event.
 */
export class Batcher {
  readonly #deps: BatcherDeps;
  readonly #lanes: Lanes<Pending>;
  #inFlightCalls = 0;
  #records = 0;
  #bytes = 0;
  #draining = false;
  #notStored = 0;
  #failedCalls = 0;
  #lastLogAt = Number.NEGATIVE_INFINITY;
  /** Why a record that never got its turn waited: its key's predecessors, or all calls, failed like this. */
  #recentFailure: SinkFailure | undefined;
  #pumpQueued = false;
  #lingering = false;
  #onEmpty: (() => void) | undefined;

  constructor(deps: BatcherDeps) {
    this.#deps = deps;
    this.#lanes = new Lanes(recordsPerKey(deps.limits.sourceOrder));
  }

  /** Events accepted and not yet answered. */
  get bufferedRecords(): number {
    return this.#records;
  }
  get bufferedBytes(): number {
    return this.#bytes;
  }
  get inFlightCalls(): number {
    return this.#inFlightCalls;
  }
  /** Events that were accepted and could not be stored, ever; their callers were told. */
  get notStored(): number {
    return this.#notStored;
  }

  /**
   * @param partitionKey records of one key reach Kinesis in the order of these calls, as far as
   *   `limits.sourceOrder` says.
   * @returns where Kinesis stored the record.
   * @throws NotStoredError `buffer-full` or `draining` when it was not taken; `throttled` or `sink-unavailable`
   *   when Kinesis did not take it in time.
   * @throws RecordTooLargeError when Kinesis would never take it.
   */
  submit(partitionKey: string, data: Uint8Array): Promise<StoredPosition> {
    const { limits, clock } = this.#deps;
    const bytes = data.byteLength + Buffer.byteLength(partitionKey);
    if (bytes > MAX_RECORD_BYTES) return Promise.reject(new RecordTooLargeError(bytes, MAX_RECORD_BYTES));
    if (this.#draining) return Promise.reject(new NotStoredError('draining', 'the producer is stopping'));
    if (this.#records >= limits.bufferMaxRecords || this.#bytes + bytes > limits.bufferMaxBytes) {
      return Promise.reject(new NotStoredError('buffer-full', 'too many events wait for Kinesis'));
    }
    return new Promise((resolve, reject) => {
      const acceptedAt = clock.monotonic();
      this.#records++;
      this.#bytes += bytes;
      this.#lanes.push({
        partitionKey,
        data,
        bytes,
        acceptedAt,
        deadline: acceptedAt + limits.eventDeadlineMs,
        attempts: 0,
        failure: undefined,
        resolve,
        reject,
      });
      this.#queuePump();
    });
  }

  /**
   * Takes nothing more, sends what is there without waiting for company, and ends when every caller is answered,
   * which the events' deadline bounds.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#pump();
    if (this.#records === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  /** At the end of this turn of the event loop, so that all requests that came in with it go in one call. */
  #queuePump(): void {
    if (this.#pumpQueued) return;
    this.#pumpQueued = true;
    setImmediate(() => {
      this.#pumpQueued = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { limits, clock } = this.#deps;
    for (;;) {
      const decision = decide(
        {
          sendableRecords: this.#lanes.sendableRecords,
          sendableBytes: this.#lanes.sendableBytes,
          oldestAgeMs: clock.monotonic() - (this.#lanes.oldestAcceptedAt ?? clock.monotonic()),
          inFlightCalls: this.#inFlightCalls,
          draining: this.#draining,
        },
        limits,
      );
      if (decision.action === 'wait') this.#linger(decision.ms);
      if (decision.action !== 'send') return;
      void this.#call(this.#lanes.take());
    }
  }

  #linger(ms: number): void {
    if (this.#lingering) return;
    this.#lingering = true;
    void this.#deps.clock.sleep(Math.max(1, ms)).then(() => {
      this.#lingering = false;
      this.#pump();
    });
  }

  /** One PutRecords call and what follows from it. */
  async #call(taken: Pending[]): Promise<void> {
    const { clock, metrics } = this.#deps;
    const startedAt = clock.monotonic();
    this.#inFlightCalls++;
    const records = this.#inTime(taken, startedAt);
    let failed = new Map<string, Pending[]>();
    if (records.length > 0) {
      metrics.callRecords.observe(records.length);
      for (const record of records) metrics.bufferSeconds.observe((startedAt - record.acceptedAt) / 1000);
      const outcomes = await this.#put(records);
      metrics.putSeconds.observe((clock.monotonic() - startedAt) / 1000);
      failed = this.#settle(records, outcomes);
    }
    this.#inFlightCalls--;
    for (const key of new Set(taken.map((record) => record.partitionKey))) {
      if (!failed.has(key)) this.#lanes.release(key, []);
    }
    this.#queuePump();
    if (failed.size > 0) await this.#again(failed);
  }

  /** Never throws: a call that failed as a whole is one in which every record failed. */
  async #put(records: readonly Pending[]): Promise<PutOutcome[]> {
    const { sink, metrics } = this.#deps;
    try {
      return await sink.put(records);
    } catch (error) {
      const failure: SinkFailure = error instanceof SinkError ? error.failure : 'rejected';
      metrics.callErrors.inc({ reason: failure });
      this.#logFailedCall(error);
      return records.map(() => ({ failure }));
    }
  }

  #logFailedCall(error: unknown): void {
    const { clock, log } = this.#deps;
    this.#failedCalls++;
    if (clock.monotonic() - this.#lastLogAt < LOG_INTERVAL_MS) return;
    log.warn({ err: error, calls: this.#failedCalls }, 'PutRecords calls failed');
    this.#failedCalls = 0;
    this.#lastLogAt = clock.monotonic();
  }

  /** Answers who can be answered. @returns the records to send again, by key, in order. */
  #settle(records: readonly Pending[], outcomes: readonly PutOutcome[]): Map<string, Pending[]> {
    const { metrics } = this.#deps;
    const failed = new Map<string, Pending[]>();
    for (const [i, record] of records.entries()) {
      const outcome = outcomes[i] ?? { failure: 'unavailable' as const };
      if ('sequenceNumber' in outcome) {
        this.#forget(record);
        record.resolve(outcome);
        continue;
      }
      record.attempts++;
      record.failure = outcome.failure;
      this.#recentFailure = outcome.failure;
      metrics.recordFailures.inc({ reason: outcome.failure });
      if (outcome.failure === 'rejected') {
        this.#fail(record);
        continue;
      }
      const again = failed.get(record.partitionKey);
      if (again) again.push(record);
      else failed.set(record.partitionKey, [record]);
    }
    return failed;
  }

  /** Waits, then puts what still has time in front of its lane and tells the callers of the rest. */
  async #again(failed: ReadonlyMap<string, Pending[]>): Promise<void> {
    const { clock, random } = this.#deps;
    let attempts = 0;
    for (const records of failed.values()) {
      for (const record of records) attempts = Math.max(attempts, record.attempts);
    }
    await clock.sleep(fullJitter(attempts - 1, BACKOFF, random));
    const now = clock.monotonic();
    for (const [key, records] of failed) {
      this.#lanes.release(key, this.#inTime(records, now));
    }
    this.#pump();
  }

  /** Tells the callers of records whose deadline is over; returns the others. */
  #inTime(records: readonly Pending[], now: number): Pending[] {
    return records.filter((record) => {
      if (now < record.deadline) return true;
      this.#fail(record);
      return false;
    });
  }

  #fail(record: Pending): void {
    this.#notStored++;
    this.#forget(record);
    record.reject(
      (record.failure ?? this.#recentFailure) === 'throttled'
        ? new NotStoredError('throttled', 'Kinesis throttled the shard of this source until the deadline')
        : new NotStoredError('sink-unavailable', 'Kinesis did not store the event in time'),
    );
  }

  #forget(record: Pending): void {
    this.#records--;
    this.#bytes -= record.bytes;
    if (this.#records === 0) this.#onEmpty?.();
  }
}
