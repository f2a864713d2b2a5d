import { fullJitter, type Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import { type Checkpoint, SHARD_END } from '../shared/kcl/position.ts';
import type { Logger } from '../shared/log.ts';
import { LeaseLostError, StoppedError } from './errors.ts';
import type { ShardReader } from './fetch/shard-reader.ts';
import { takeSlice } from './fetch/user-records.ts';
import type { HeldLease } from './leases/held-lease.ts';
import type { WorkerRef } from './leases/lease-store.ts';
import { FULL_SLICE, type ShardMeter } from './leases/shard-meter.ts';
import type { ConsumerMetrics } from './metrics.ts';
import type { FetchedBatch, StreamRecord } from './record.ts';
import type { OpenProcessor, ShardProcessor } from './shard-processor.ts';

/** The first slice after a start from the checkpoint; each that goes through doubles the next. */
const FIRST_SLICE_RECORDS = 32;
const BACKOFF = { baseMs: 500, maxMs: 10_000 };

export interface ShardConsumerDeps {
  /** Reads on from the lease's checkpoint. */
  createReader: (held: HeldLease) => ShardReader;
  /** The shards that took over this shard's hash range. */
  childrenOf: (shardId: string) => Promise<string[]>;
  /** Who gets the lease when it is given up; `undefined` for whoever takes it first. */
  successor: () => WorkerRef | undefined;
  openProcessor: OpenProcessor;
  checkpointIntervalMs: number;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/**
 * How the work on a shard ended: all of it read, what is left of it removed by retention, given to another worker,
 * given back for any to take, or lost to another.
 */
export type ShardOutcome = 'shard-end' | 'trimmed' | 'handed-on' | 'released' | 'lost';

interface ShardSignals {
  /** Aborted: finish the slice in hand, checkpoint, give the lease up. */
  stopping: AbortSignal;
  /** Aborted: leave the work in hand as it is. */
  force: AbortSignal;
  /** Aborted: retention has removed the shard; what was read of it is worked off still. */
  trimmed: AbortSignal;
}

interface WorkSignals {
  /** Aborted: leave the work in hand as it is. */
  abort: AbortSignal;
  /** Aborted: begin no more work. */
  working: AbortSignal;
  /** Aborted: wait for no more records. */
  fetching: AbortSignal;
}

/**
 * Works on one shard while this worker holds its lease: fetch → pipeline → checkpoint, strictly in this order.
 *
 * However short a tenure is, it gets the shard on if it outlasts one small slice: that one is checkpointed at once, and
 * from there on the pauses between checkpoints double until they are `checkpointIntervalMs`. So whenever the lease is lost,
 * about half of the tenure's work is kept, and a group that keeps losing its leases does not do the same again for ever. The
 * same holds for work that keeps failing and starts over.
 */
export class ShardConsumer {
  readonly #deps: ShardConsumerDeps;
  readonly #held: HeldLease;
  readonly #meter: ShardMeter;
  readonly #progress: () => void;
  #processor: ShardProcessor | undefined;
  /** The last record that is done with but not yet in the lease. */
  #done: Checkpoint | undefined;
  #checkpointedAt: number;
  /** When reading began from the checkpoint. */
  #since: number;
  /** Records of the next slice. */
  #sliceRecords = FIRST_SLICE_RECORDS;
  /** A checkpoint that is being written. */
  #checkpointing: Promise<void> | undefined;
  /** Failures since work was last stored whole, states too. */
  #failures = 0;

  constructor(deps: ShardConsumerDeps, held: HeldLease, meter: ShardMeter, progress: () => void) {
    this.#deps = deps;
    this.#held = held;
    this.#meter = meter;
    this.#progress = progress;
    this.#since = deps.clock.monotonic();
    this.#checkpointedAt = this.#since;
  }

  async run({ stopping, force, trimmed }: ShardSignals): Promise<ShardOutcome> {
    const { clock, random, log } = this.#deps;
    const { shardId } = this.#held;
    const abort = AbortSignal.any([this.#held.lost, force]);
    const working = AbortSignal.any([abort, stopping]);
    const signals = { abort, working, fetching: AbortSignal.any([working, trimmed]) };
    try {
      while (!signals.fetching.aborted) {
        try {
          if (await this.#consume(signals)) return 'shard-end';
        } catch (error) {
          if (error instanceof LeaseLostError) return 'lost';
          if (error instanceof StoppedError) break;
          // A processor that failed flushes nothing, so what it did is not checkpointed, also if a stop comes now.
          this.#closeProcessor();
          this.#done = undefined;
          const details = { err: error, shardId, failures: this.#failures };
          if (signals.fetching.aborted) log.warn(details, 'processing a shard failed while it was given up');
          else log.error(details, 'processing a shard failed; it starts over from its checkpoint');
          await clock.sleep(fullJitter(this.#failures++, BACKOFF, random), signals.fetching);
        }
      }
      if (trimmed.aborted && !stopping.aborted && !abort.aborted) return await this.#endTrimmed(abort);
      return await this.#giveUp(abort);
    } finally {
      this.#closeProcessor();
    }
  }

  /** @returns true when the shard was read to its end and that is in the lease. */
  async #consume(signals: WorkSignals): Promise<boolean> {
    // From the checkpoint, not from the last record done with: the processor starts without the memory of those between.
    await this.#checkpointing;
    this.#done = undefined;
    this.#sliceRecords = FIRST_SLICE_RECORDS;
    this.#since = this.#deps.clock.monotonic();
    this.#checkpointedAt = this.#since;
    const reader = this.#deps.createReader(this.#held);
    try {
      return await this.#readOn(reader, signals);
    } finally {
      reader.close();
    }
  }

  async #readOn(reader: ShardReader, { fetching, working, abort }: WorkSignals): Promise<boolean> {
    const processor = this.#deps.openProcessor(this.#held);
    this.#processor = processor;
    // Also when retention removed the shard: what was read of it before is here.
    while (!working.aborted) {
      const batch = await reader.next(fetching, this.#progress);
      this.#meter.fetched(batch.millisBehindLatest);
      await this.#process(processor, batch, working, abort);
      if (working.aborted) return false;
      if (batch.ended) {
        await this.#end(abort, batch.childShardIds);
        return true;
      }
      await this.#checkpointIfDue(processor, abort);
    }
    return false;
  }

  #closeProcessor(): void {
    this.#processor?.close();
    this.#processor = undefined;
  }

  async #process(
    processor: ShardProcessor,
    batch: FetchedBatch,
    working: AbortSignal,
    abort: AbortSignal,
  ): Promise<void> {
    const records = batch.records[Symbol.iterator]();
    let before: string | undefined;
    while (!working.aborted) {
      const slice = takeSlice(records, this.#sliceRecords);
      const [first] = slice;
      const last = slice.at(-1);
      if (!first || !last) return;
      this.#meter.begin(slice.length, first.arrivedAt);
      try {
        await processor.process(slice, abort, this.#progress);
      } finally {
        this.#meter.end();
      }
      this.#sliceRecords = Math.min(FULL_SLICE, this.#sliceRecords * 2);
      const { puts, bytes } = sizeOf(slice, before);
      before = last.sequenceNumber;
      this.#meter.done(slice.length, puts, bytes, last.arrivedAt);
      this.#done = { sequenceNumber: last.sequenceNumber, subSequenceNumber: last.subSequenceNumber ?? 0 };
      await this.#checkpointIfDue(processor, abort);
    }
  }

  async #checkpointIfDue(processor: ShardProcessor, abort: AbortSignal): Promise<void> {
    const { clock, checkpointIntervalMs } = this.#deps;
    if (!this.#done || this.#checkpointing !== undefined) return;
    const pauseMs = Math.min(checkpointIntervalMs, this.#checkpointedAt - this.#since);
    if (clock.monotonic() - this.#checkpointedAt < pauseMs) return;
    const done = this.#done;
    this.#checkpointedAt = clock.monotonic();
    await processor.flush(abort, this.#progress);
    this.#failures = 0;
    // Not waited for: it stays right whatever is processed meanwhile, and a lease's writes go one after another.
    this.#checkpointing = this.#checkpoint(done).finally(() => {
      this.#checkpointing = undefined;
    });
  }

  /** One that fails for now is made up for by the next; a lost lease aborts `held.lost`, which ends the work. */
  async #checkpoint(done: Checkpoint): Promise<void> {
    try {
      await this.#held.checkpoint(done);
      if (this.#done === done) this.#done = undefined;
    } catch (error) {
      if (error instanceof LeaseLostError) return;
      const { shardId } = this.#held;
      this.#deps.log.warn({ err: error, shardId }, 'a checkpoint failed and is tried again');
    }
  }

  /** All of the shard is done with: its children may start. */
  async #end(abort: AbortSignal, told?: readonly string[]): Promise<void> {
    const { childrenOf, clock, random, log } = this.#deps;
    const { shardId } = this.#held;
    await this.#processor?.flush(abort, this.#progress);
    let children = told;
    // Once it was tried the table may have it, whatever was answered, and the children may be under way: nothing of this
    // shard may be done again, so it is written until there is an answer or the lease is over.
    for (let failures = 0; ; failures++) {
      try {
        children ??= await childrenOf(shardId);
        return await this.#held.checkpoint(SHARD_END, children);
      } catch (error) {
        if (error instanceof LeaseLostError || error instanceof StoppedError || abort.aborted) throw error;
        log.warn({ err: error, shardId, failures }, 'the end of a shard could not be written; trying again');
      }
      await clock.sleep(fullJitter(failures, BACKOFF, random), abort);
      this.#progress();
    }
  }

  async #endTrimmed(abort: AbortSignal): Promise<ShardOutcome> {
    const { log } = this.#deps;
    const { shardId, lease } = this.#held;
    const checkpoint = this.#done ?? lease.checkpoint;
    try {
      await this.#end(abort);
    } catch (error) {
      log.warn({ err: error, shardId }, 'the end of a shard that retention removed could not be written');
      this.#done = undefined;
      return await this.#giveUp(abort);
    }
    log.error(
      { shardId, checkpoint },
      'retention removed the shard before all of it was read: what came after this checkpoint is lost to this application',
    );
    return 'trimmed';
  }

  async #giveUp(abort: AbortSignal): Promise<ShardOutcome> {
    if (this.#held.lost.aborted) return 'lost';
    const successor = this.#deps.successor();
    // Forced: what was not flushed is not checkpointed.
    if (abort.aborted) this.#done = undefined;
    try {
      if (this.#done) await this.#processor?.flush(abort, this.#progress);
      await this.#held.release(this.#done, successor);
      return successor ? 'handed-on' : 'released';
    } catch (error) {
      // Not given up: the next owner waits for the lease to expire and reads on from the last checkpoint.
      this.#deps.log.warn({ err: error, shardId: this.#held.shardId }, 'a lease could not be given up');
      return 'lost';
    }
  }
}

/**
 * Bytes of user records, and Kinesis records that they came in: those of one aggregate stand together.
 *
 * @param previous sequence number of the record before them: it was counted.
 */
function sizeOf(
  records: readonly StreamRecord[],
  previous: string | undefined,
): { puts: number; bytes: number } {
  let bytes = 0;
  let puts = 0;
  let before = previous;
  for (const { data, sequenceNumber } of records) {
    bytes += data.byteLength;
    if (sequenceNumber !== before) puts++;
    before = sequenceNumber;
  }
  return { puts, bytes };
}
