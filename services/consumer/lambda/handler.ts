import type { KinesisStreamBatchResponse, KinesisStreamEvent } from 'aws-lambda';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { customMetricsLine } from '../custom-metrics.ts';
import { StoppedError } from '../errors.ts';
import { type AggregateRules, takeSlice } from '../fetch/user-records.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import { checkEvent, fromEvent, shardOf } from './kinesis-event.ts';
import type { HashKeyRange, ShardRanges } from './shard-ranges.ts';

/** User records that go through the pipeline at once. */
const SLICE_RECORDS = 200;
/** Share of the invocation's time after which no more is processed, and after which states are no longer written. */
const PROCESS_SHARE = 0.85;
const FLUSH_SHARE = 0.95;

/** What the function answers: the original design's counts beside what the event source mapping reads. */
export interface HandlerAnswer extends KinesisStreamBatchResponse {
  status: 'completed' | 'partial';
  /** Kinesis records of the batch that are done with: stored, or kept as dead letters. */
  processed_records: number;
  /** Kinesis records that are to come again. */
  failed_records: number;
  batch_size: number;
}

export interface HandlerDeps {
  stream: string;
  openProcessor: (shard: { shardId: string; hashKeyRange: HashKeyRange | undefined }) => ShardProcessor;
  ranges: ShardRanges;
  aggregates: AggregateRules;
  /** Dead letters that were kept since the process began. */
  deadLetters: () => Promise<number>;
  clock: Clock;
  log: Logger;
  /** Takes a line of metrics. */
  emit: (line: string) => void;
}

/** What the handler uses of Lambda's context. */
interface InvocationContext {
  getRemainingTimeInMillis(): number;
}

export type Handler = (event: KinesisStreamEvent, context: InvocationContext) => Promise<HandlerAnswer>;

/**
 * The pipeline as a function behind an event source mapping with `ReportBatchItemFailures`. It answers the first
 * Kinesis record that is not done with: everything before it is stored, everything from it on comes again. When its
 * time runs out, because the table is slow or down, it stops before Lambda kills it and reports the rest.
 *
 * Several invocations may work on one shard at once (parallelization factor), never two on one partition key.
 *
 * It throws for an event that is of no Kinesis stream.
 */
export function createHandler(deps: HandlerDeps): Handler {
  return async (event, context) => {
    checkEvent(event);
    const { clock, log, stream } = deps;
    const startedAt = clock.monotonic();
    const budgetMs = context.getRemainingTimeInMillis();
    const time = new Deadlines(clock, budgetMs);
    const before = await deps.deadLetters();
    try {
      const done = await processAll(deps, event, time);
      const failed = event.Records.slice(done);
      const answer: HandlerAnswer = {
        status: failed.length === 0 ? 'completed' : 'partial',
        processed_records: done,
        failed_records: failed.length,
        batch_size: event.Records.length,
        batchItemFailures: failed
          .slice(0, 1)
          .map(({ kinesis }) => ({ itemIdentifier: kinesis.sequenceNumber })),
      };
      const errors = failed.length + (await deps.deadLetters()) - before;
      const work = {
        processed: done,
        total: event.Records.length,
        errors,
        ms: clock.monotonic() - startedAt,
      };
      deps.emit(customMetricsLine(stream, clock.now(), work));
      if (failed.length > 0) {
        const { status, processed_records, failed_records, batch_size } = answer;
        log.warn({ status, processed_records, failed_records, batch_size }, 'records are to come again');
      }
      return answer;
    } finally {
      time.clear();
    }
  };
}

/** @returns how many of the event's records, from the first on, are done with. */
async function processAll(deps: HandlerDeps, event: KinesisStreamEvent, time: Deadlines): Promise<number> {
  let done = 0;
  // A batch is of one shard; should it ever not be, each run of a shard's records is worked off by itself.
  for (const run of runsOfShards(event)) {
    const doneOfRun = await processRun(deps, run, time);
    done += doneOfRun;
    if (doneOfRun < run.length) break;
  }
  return done;
}

async function processRun(
  { aggregates, log, openProcessor, ranges }: HandlerDeps,
  run: KinesisStreamEvent['Records'],
  time: Deadlines,
): Promise<number> {
  const shardId = shardOf(run[0]?.eventID ?? '');
  let processor: ShardProcessor | undefined;
  let done = 0;
  try {
    const hashKeyRange = await ranges.of(shardId, time.processing);
    processor = openProcessor({ shardId, hashKeyRange });
    const taken = new TakenApart(run, (record) => fromEvent(record, aggregates, hashKeyRange));
    const records = taken.userRecords();
    for (;;) {
      const slice = takeSlice(records, SLICE_RECORDS);
      if (slice.length === 0) break;
      await processor.process(slice, time.processing, () => {});
      // The answer is the checkpoint: results → states → checkpoint. After a failure the memory holds what isn't
      // stored, so states are written while all is well, slice by slice.
      await processor.flush(time.flushing, () => {});
      done = taken.count;
    }
    done = taken.count;
  } catch (error) {
    const details = { shardId, done, batch: run.length };
    if (error instanceof StoppedError) log.warn(details, 'the time of the invocation is nearly over');
    else log.error({ err: error, ...details }, 'processing a batch failed');
  } finally {
    processor?.close();
  }
  return done;
}

function runsOfShards({ Records }: KinesisStreamEvent): KinesisStreamEvent['Records'][] {
  const runs: KinesisStreamEvent['Records'][] = [];
  for (const record of Records) {
    const run = runs.at(-1);
    if (run?.[0] && shardOf(run[0].eventID) === shardOf(record.eventID)) run.push(record);
    else runs.push([record]);
  }
  return runs;
}

/** Takes the Kinesis records of a run apart, and tells how many of them were given whole. */
class TakenApart {
  readonly #run: KinesisStreamEvent['Records'];
  readonly #userRecordsOf: (record: KinesisStreamEvent['Records'][number]) => Iterable<StreamRecord>;
  /** Kinesis records whose last user record was given. */
  count = 0;

  constructor(
    run: KinesisStreamEvent['Records'],
    userRecordsOf: (record: KinesisStreamEvent['Records'][number]) => Iterable<StreamRecord>,
  ) {
    this.#run = run;
    this.#userRecordsOf = userRecordsOf;
  }

  *userRecords(): Generator<StreamRecord> {
    for (const record of this.#run) {
      // One behind, so that with the last one it is known that it is the last.
      let before: StreamRecord | undefined;
      for (const one of this.#userRecordsOf(record)) {
        if (before) yield before;
        before = one;
      }
      this.count++;
      if (before) yield before;
    }
  }
}

/** When the work of an invocation must end so that its answer still counts. */
class Deadlines {
  readonly #processing = new AbortController();
  readonly #flushing = new AbortController();
  readonly #answered = new AbortController();

  constructor(clock: Clock, budgetMs: number) {
    void clock.sleep(budgetMs * PROCESS_SHARE, this.#answered.signal).then(() => this.#processing.abort());
    void clock.sleep(budgetMs * FLUSH_SHARE, this.#answered.signal).then(() => this.#flushing.abort());
  }

  get processing(): AbortSignal {
    return this.#processing.signal;
  }

  get flushing(): AbortSignal {
    return this.#flushing.signal;
  }

  clear(): void {
    this.#answered.abort();
  }
}
