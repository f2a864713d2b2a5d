import { ExpiredIteratorException } from '@aws-sdk/client-kinesis';
import { isThrottle } from '../../shared/aws.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { errorCode } from '../../shared/errors.ts';
import type { Checkpoint } from '../../shared/kcl/position.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import type { ReadFrom } from '../lineage/lineage.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { FetchedBatch, StreamRecord } from '../record.ts';
import type { ByteBudget } from './byte-budget.ts';
import { SubscriptionStalledError, SubscriptionTakenError } from './errors.ts';
import type { Position, RawBatch, ShardSource } from './shard-source.ts';
import { type AggregateRules, type HashKeyRange, isDone, userRecords } from './user-records.ts';

const BACKOFF = { baseMs: 250, maxMs: 5_000 };
/** Another subscription of this consumer is younger than 5 s, or this one's call came within a second of the last. */
const IN_USE_WAIT_MS = { least: 500, most: 1_500 };
/** Who took the subscription over may be the shard's new owner: it is not to be fought before this one knows. */
const TAKEN_WAIT_MS = { least: 5_000, most: 6_000 };
const LOG_EVERY_ATTEMPTS = 10;
/** What a Kinesis record takes in memory beside its data: that of a few bytes is mostly this. */
const RECORD_OVERHEAD_BYTES = 512;

export interface ShardReaderDeps {
  /** Shared by the readers of the process. */
  budget: ByteBudget;
  aggregates: AggregateRules;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** The shard to read and where to begin. */
export interface ShardToRead {
  shardId: string;
  from: ReadFrom;
  /** Undefined when it isn't known. */
  hashKeyRange: HashKeyRange | undefined;
}

const idle = () => {};

/** A batch that was read and not yet asked for. */
interface Held {
  batch: RawBatch;
  bytes: number;
}

/**
 * Reads one shard in order, ahead of who processes it: while a batch is being processed, the next ones come in, as
 * long as the byte budget has room; a reader that has nothing in hand may always get one. Whatever fails is tried again
 * with full jitter from the last position, so nothing is lost or repeated. Aggregates come out as the user records in
 * them.
 */
export class ShardReader {
  readonly #deps: ShardReaderDeps;
  readonly #shardId: string;
  readonly #hashKeyRange: HashKeyRange | undefined;
  readonly #source: ShardSource;
  readonly #closing = new AbortController();
  /** What a checkpoint says is done with of the first record: until a later one came. */
  #done: Checkpoint | undefined;
  #position: Position;
  #queue: Held[] = [];
  /** Bytes of what `next` gave last. */
  #inHand = 0;
  #running: Promise<void> | undefined;
  #arrived: (() => void) | undefined;
  /** Told of reads only while somebody waits for them: reading ahead is no progress of who processes. */
  #progress: () => void = idle;

  constructor(deps: ShardReaderDeps, source: ShardSource, { shardId, from, hashKeyRange }: ShardToRead) {
    this.#deps = deps;
    this.#shardId = shardId;
    this.#hashKeyRange = hashKeyRange;
    this.#source = source;
    this.#position = from;
    this.#done = from.type === 'AT_SEQUENCE_NUMBER' ? from.done : undefined;
  }

  /**
   * The next records, maybe none. Tells that the ones before are done with, as to memory. After a batch with `ended`
   * there are no more.
   *
   * @param signal ends the waiting; what was read already is given still.
   * @param progress called at every attempt.
   * @throws StoppedError when `signal` aborted and nothing is there; what Kinesis refuses for good is tried again too, with a warning,
   *   since a missing stream or permission is for an operator to mend.
   */
  async next(signal: AbortSignal, progress: () => void): Promise<FetchedBatch> {
    this.#progress = progress;
    this.#deps.budget.release(this.#inHand);
    this.#inHand = 0;
    this.#running ??= this.#run();
    await this.#arrival(signal).finally(() => {
      this.#progress = idle;
    });
    // All of it: subscriptions give a few records at a time, and each slice costs a round trip to the store.
    const held = this.#queue;
    this.#queue = [];
    this.#inHand = held.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#deps.budget.wake(); // the queue has become shorter
    return this.#toFetched(held.map(({ batch }) => batch));
  }

  /** Ends reading and lets go of what was read. */
  close(): void {
    this.#closing.abort();
    const bytes = this.#queue.reduce((sum, held) => sum + held.bytes, this.#inHand);
    this.#queue = [];
    this.#inHand = 0;
    this.#deps.budget.release(bytes);
    this.#deps.budget.wake();
    this.#arrived?.();
  }

  /** Resolves when something is in the queue. @throws StoppedError */
  async #arrival(signal: AbortSignal): Promise<void> {
    const onAbort = () => this.#arrived?.();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        if (this.#queue.length > 0) return;
        if (signal.aborted || this.#closing.signal.aborted) throw new StoppedError();
        await new Promise<void>((resolve) => {
          this.#arrived = resolve;
        });
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#deps;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; ) {
      const before = this.#position;
      try {
        this.#progress();
        for await (const batch of this.#source.read(this.#position, signal, () => this.#progress())) {
          if (signal.aborted) return;
          failures = 0;
          this.#put(batch);
          if (batch.children) return;
          await this.#room(signal);
        }
        // Wants to be opened anew. One that ends without having brought anything is not asked again at once.
        if (this.#position === before) await clock.sleep(fullJitter(failures++, BACKOFF, random), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#note(error, failures);
        await clock.sleep(this.#waitAfter(error, failures++), signal);
      }
    }
  }

  #put(batch: RawBatch): void {
    if (batch.continueAfter !== undefined) {
      this.#position = { type: 'AFTER_SEQUENCE_NUMBER', sequenceNumber: batch.continueAfter };
    }
    this.#deps.metrics.batchRecords.observe(batch.records.length);
    // An empty batch only tells how far behind the shard is read: of no use behind records that wait.
    if (batch.records.length === 0 && !batch.children && this.#queue.length > 0) return;
    const bytes = batch.records.reduce(
      (sum, { Data }) => sum + (Data?.byteLength ?? 0) + RECORD_OVERHEAD_BYTES,
      0,
    );
    this.#deps.budget.take(bytes);
    this.#queue.push({ batch, bytes });
    this.#arrived?.();
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { budget } = this.#deps;
    while (!signal.aborted && this.#queue.length > 0 && budget.full) await budget.changed();
  }

  #toFetched(batches: readonly RawBatch[]): FetchedBatch {
    const last = batches.at(-1);
    const children = last?.children;
    const millisBehindLatest = last?.millisBehindLatest ?? 0;
    return {
      records: this.#userRecords(batches),
      millisBehindLatest,
      ended: children !== undefined,
      ...(children === undefined ? {} : { childShardIds: children }),
    };
  }

  *#userRecords(batches: readonly RawBatch[]): Generator<StreamRecord> {
    const { aggregates } = this.#deps;
    for (const { records } of batches) {
      for (const raw of records) {
        const record: StreamRecord = {
          shardId: this.#shardId,
          sequenceNumber: raw.SequenceNumber ?? '',
          partitionKey: raw.PartitionKey ?? '',
          data: raw.Data ?? new Uint8Array(),
          arrivedAt: raw.ApproximateArrivalTimestamp?.getTime() ?? 0,
        };
        if (record.sequenceNumber !== this.#done?.sequenceNumber) this.#done = undefined;
        const done = this.#done;
        for (const one of userRecords(record, aggregates, this.#hashKeyRange)) {
          if (done === undefined || !isDone(one, done)) yield one;
        }
      }
    }
  }

  #waitAfter(error: unknown, attempt: number): number {
    const { random } = this.#deps;
    const between = ({ least, most }: { least: number; most: number }) => least + random() * (most - least);
    // The position is known, only the iterator was too old: a fresh one is had at once.
    if (error instanceof ExpiredIteratorException && attempt === 0) return 0;
    if (error instanceof SubscriptionTakenError) return between(TAKEN_WAIT_MS);
    if (isInUse(error)) return between(IN_USE_WAIT_MS);
    return fullJitter(attempt, BACKOFF, random);
  }

  #note(error: unknown, attempt: number): void {
    const { log, metrics } = this.#deps;
    const reason = reasonOf(error);
    metrics.fetchErrors.inc({ reason });
    const details = { err: error, code: errorCode(error), shardId: this.#shardId, attempt };
    if (reason === 'error' && attempt % LOG_EVERY_ATTEMPTS === 0)
      log.warn(details, 'a read failed and is tried again');
    else log.debug(details, 'a read failed and is tried again');
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && error.name === 'ResourceInUseException';
}

function reasonOf(error: unknown): string {
  if (error instanceof ExpiredIteratorException) return 'expired-iterator';
  if (error instanceof SubscriptionTakenError || isInUse(error)) return 'in-use';
  if (isThrottle(error)) return 'throttled';
  return error instanceof SubscriptionStalledError ? 'stalled' : 'error';
}
