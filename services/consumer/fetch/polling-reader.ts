import {
  ExpiredIteratorException,
  GetRecordsCommand,
  type GetRecordsCommandOutput,
  GetShardIteratorCommand,
  type KinesisClient,
} from '@aws-sdk/client-kinesis';
import { isThrottle } from '../../shared/aws.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import type { ReadFrom } from '../lineage/lineage.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { FetchedBatch, StreamRecord } from '../record.ts';
import { isDone, userRecords } from './user-records.ts';

/** Kinesis answers 5 GetRecords calls a second and shard, over all readers. */
const MIN_READ_INTERVAL_MS = 200;
const BACKOFF = { baseMs: 250, maxMs: 5_000 };

/** Where the next read begins: as the lease says, then after what was read. */
type Position = ReadFrom | { type: 'AFTER_SEQUENCE_NUMBER'; sequenceNumber: string };

export interface PollingReaderDeps {
  client: KinesisClient;
  stream: string;
  /** Pause between reads once caught up, in ms. */
  pollIntervalMs: number;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/**
 * Reads one shard in order by GetRecords. Failed reads are tried again with full jitter from the last position;
 * an iterator that expired (5 min) is asked for anew. Aggregates come out as the user records in them.
 */
export class PollingReader {
  readonly #deps: PollingReaderDeps;
  readonly #shardId: string;
  #position: Position;
  #iterator: string | undefined;
  #nextReadAt = 0;

  constructor(deps: PollingReaderDeps, shardId: string, from: ReadFrom) {
    this.#deps = deps;
    this.#shardId = shardId;
    this.#position = from;
  }

  /**
   * The next records, maybe none. After a batch with `ended` there are no more.
   *
   * @param progress called at every attempt.
   * @throws StoppedError when `signal` aborted; what Kinesis refuses for good is tried again too, with a warning,
   *   since a missing stream or permission is for an operator to mend.
   */
  async next(signal: AbortSignal, progress: () => void): Promise<FetchedBatch> {
    const { clock, random } = this.#deps;
    for (let attempt = 0; ; attempt++) {
      await clock.sleep(this.#nextReadAt - clock.monotonic(), signal);
      if (signal.aborted) throw new StoppedError();
      progress();
      try {
        return await this.#read(signal);
      } catch (error) {
        if (signal.aborted) throw new StoppedError();
        this.#note(error, attempt);
        if (!(error instanceof ExpiredIteratorException)) {
          this.#nextReadAt = clock.monotonic() + fullJitter(attempt, BACKOFF, random);
        }
        // Whatever went wrong, the iterator may be spent: a fresh one from the last position is always right.
        this.#iterator = undefined;
      }
    }
  }

  async #read(signal: AbortSignal): Promise<FetchedBatch> {
    const { client, clock, pollIntervalMs, metrics } = this.#deps;
    this.#iterator ??= await this.#newIterator(signal);
    if (this.#iterator === undefined) return { records: [], millisBehindLatest: 0, ended: true };
    const startedAt = clock.monotonic();
    const answer = await client.send(new GetRecordsCommand({ ShardIterator: this.#iterator }), {
      abortSignal: signal,
    });
    const from = this.#position;
    const records = toRecords(answer, this.#shardId);
    this.#iterator = answer.NextShardIterator;
    const batch: FetchedBatch = {
      records:
        from.type === 'AT_SEQUENCE_NUMBER' ? records.filter((record) => !isDone(record, from.done)) : records,
      millisBehindLatest: answer.MillisBehindLatest ?? 0,
      ended: answer.NextShardIterator === undefined,
    };
    const last = records.at(-1);
    if (last) this.#position = { type: 'AFTER_SEQUENCE_NUMBER', sequenceNumber: last.sequenceNumber };
    const more = batch.millisBehindLatest > 0;
    this.#nextReadAt =
      startedAt + (more ? MIN_READ_INTERVAL_MS : Math.max(pollIntervalMs, MIN_READ_INTERVAL_MS));
    metrics.batchRecords.observe(batch.records.length);
    return batch;
  }

  async #newIterator(signal: AbortSignal): Promise<string | undefined> {
    const { client, stream } = this.#deps;
    const from = this.#position;
    const answer = await client.send(
      new GetShardIteratorCommand({
        StreamName: stream,
        ShardId: this.#shardId,
        ShardIteratorType: from.type,
        ...(from.type === 'AFTER_SEQUENCE_NUMBER' ? { StartingSequenceNumber: from.sequenceNumber } : {}),
        ...(from.type === 'AT_SEQUENCE_NUMBER' ? { StartingSequenceNumber: from.done.sequenceNumber } : {}),
        ...(from.type === 'AT_TIMESTAMP' ? { Timestamp: new Date(from.timestamp) } : {}),
      }),
      { abortSignal: signal },
    );
    return answer.ShardIterator;
  }

  #note(error: unknown, attempt: number): void {
    const { log, metrics } = this.#deps;
    const reason =
      error instanceof ExpiredIteratorException
        ? 'expired-iterator'
        : isThrottle(error)
          ? 'throttled'
          : 'error';
    metrics.fetchErrors.inc({ reason });
    const details = { err: error, shardId: this.#shardId, attempt };
    if (reason === 'error' && attempt % 10 === 0) log.warn(details, 'a read failed and is tried again');
    else log.debug(details, 'a read failed and is tried again');
  }
}

function toRecords(answer: GetRecordsCommandOutput, shardId: string): StreamRecord[] {
  return (answer.Records ?? []).flatMap((record) =>
    userRecords({
      shardId,
      sequenceNumber: record.SequenceNumber ?? '',
      partitionKey: record.PartitionKey ?? '',
      data: record.Data ?? new Uint8Array(),
      arrivedAt: record.ApproximateArrivalTimestamp?.getTime() ?? 0,
    }),
  );
}
