import { randomUUID } from 'node:crypto';
import type { KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';
import { type Clock, systemClock } from '../shared/clock.ts';

/** Settings of an event source mapping; names and defaults are AWS's. */
export interface MappingOptions {
  streamArn: string;
  /** Records in one batch. Default 100. */
  batchSize?: number;
  /** Batches of one shard that are worked on at once, each with partition keys of its own. Default 1. */
  parallelizationFactor?: number;
  bisectBatchOnFunctionError?: boolean;
  /** `FunctionResponseTypes: ['ReportBatchItemFailures']`. */
  reportBatchItemFailures?: boolean;
  /** Times that a failed batch is tried again. Default infinite. */
  maximumRetryAttempts?: number;
  /** Age after which records are given up, in seconds. Default infinite. */
  maximumRecordAgeInSeconds?: number;
  clock?: Clock;
  /** Pause before a failed batch comes again, in ms. Default 0. */
  retryDelayMs?: number;
}

/** A record of a shard, as it is put before the mapping. */
export interface MappedRecord {
  partitionKey: string;
  sequenceNumber: string;
  data: Uint8Array;
  /** ms since the epoch. */
  arrivedAt: number;
}

/** Runs the function once. @returns what it answered. @throws when it threw, timed out or crashed. */
export type Invoke = (event: KinesisStreamEvent) => Promise<unknown>;

/** What the on-failure destination is sent for a batch that is given up; `payload` in S3 only. */
export interface GivenUpBatch {
  requestContext: {
    requestId: string;
    functionArn: string;
    condition: 'RetryAttemptsExhausted' | 'MaximumRecordAgeExceeded';
    approximateInvokeCount: number;
  };
  version: '1.0';
  timestamp: string;
  KinesisBatchInfo: {
    shardId: string;
    startSequenceNumber: string;
    endSequenceNumber: string;
    approximateArrivalOfFirstRecord: string;
    approximateArrivalOfLastRecord: string;
    batchSize: number;
    streamArn: string;
  };
  payload: KinesisStreamEvent;
}

/** An account of what the mapping did. */
export interface MappingReport {
  /** Sequence numbers of each invocation, in the order in which they began. */
  invocations: string[][];
  givenUp: GivenUpBatch[];
}

const FUNCTION_ARN = 'arn:aws:lambda:us-east-1:000000000000:function:consumer';

/** A batch and how often it was tried: by bisecting, a part gets the attempts that are left to the whole. */
interface Batch {
  records: KinesisStreamRecord[];
  failures: number;
}

/**
 * Feeds one shard's records to a function by the documented rules of an event source mapping: batches in order, side by
 * side for different partition keys; a failed batch comes again, from the lowest sequence number that was reported as
 * failed on, bisected if so configured, until its retries or its age are used up; then it goes to the on-failure
 * destination, and the shard goes on. No tumbling windows, no filters.
 * Source: AWS Lambda developer guide, "Using Lambda to process records from Amazon Kinesis Data Streams" and
 * "Configuring partial batch response with Kinesis Data Streams and Lambda", 2026.
 */
export class EventSourceMapping {
  readonly #options: MappingOptions;
  readonly #clock: Clock;
  readonly #invoke: Invoke;

  constructor(options: MappingOptions, invoke: Invoke) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#invoke = invoke;
  }

  /** Works off the records of a shard, given in its order. */
  async run(shardId: string, records: readonly MappedRecord[]): Promise<MappingReport> {
    const { parallelizationFactor = 1 } = this.#options;
    const report: MappingReport = { invocations: [], givenUp: [] };
    const lanes: KinesisStreamRecord[][] = Array.from({ length: parallelizationFactor }, () => []);
    for (const record of records) {
      lanes[laneOf(record.partitionKey, parallelizationFactor)]?.push(this.#toEvent(shardId, record));
    }
    await Promise.all(lanes.map((lane) => this.#runLane(shardId, lane, report)));
    return report;
  }

  async #runLane(
    shardId: string,
    lane: readonly KinesisStreamRecord[],
    report: MappingReport,
  ): Promise<void> {
    const { batchSize = 100 } = this.#options;
    for (let i = 0; i < lane.length; i += batchSize) {
      const pending: Batch[] = [{ records: lane.slice(i, i + batchSize), failures: 0 }];
      for (let batch = pending.shift(); batch; batch = pending.shift()) {
        pending.unshift(...(await this.#attempt(shardId, batch, report)));
      }
    }
  }

  /** Invokes the function with a batch. @returns what is left of it. */
  async #attempt(shardId: string, batch: Batch, report: MappingReport): Promise<Batch[]> {
    const { bisectBatchOnFunctionError = false, maximumRetryAttempts = Number.POSITIVE_INFINITY } =
      this.#options;
    const { records } = batch;
    if (this.#tooOld(records)) {
      report.givenUp.push(this.#giveUp(shardId, batch, 'MaximumRecordAgeExceeded'));
      return [];
    }
    report.invocations.push(records.map(({ kinesis }) => kinesis.sequenceNumber));
    const failedFrom = await this.#failedFrom(records);
    if (failedFrom === undefined) return [];
    await this.#clock.sleep(this.#options.retryDelayMs ?? 0);
    if (failedFrom > 0) return [{ records: records.slice(failedFrom), failures: 0 }];
    const failures = batch.failures + 1;
    if (bisectBatchOnFunctionError && records.length > 1) {
      // Splitting a batch takes nothing of its retries.
      const half = records.length >> 1;
      return [
        { records: records.slice(0, half), failures: batch.failures },
        { records: records.slice(half), failures: batch.failures },
      ];
    }
    if (failures <= maximumRetryAttempts) return [{ records, failures }];
    report.givenUp.push(this.#giveUp(shardId, { records, failures }, 'RetryAttemptsExhausted'));
    return [];
  }

  /** @returns index of the first record that is to come again; undefined when all is done. */
  async #failedFrom(records: KinesisStreamRecord[]): Promise<number | undefined> {
    let answer: unknown;
    try {
      answer = await this.#invoke({ Records: structuredClone(records) });
    } catch {
      return 0;
    }
    if (!this.#options.reportBatchItemFailures) return undefined;
    const failures = (answer as { batchItemFailures?: unknown } | null | undefined)?.batchItemFailures;
    if (failures === undefined || failures === null) return undefined;
    if (!Array.isArray(failures)) return 0;
    const indexes = failures.map((failure: unknown) =>
      records.findIndex(
        ({ kinesis }) =>
          kinesis.sequenceNumber === (failure as { itemIdentifier?: unknown } | null)?.itemIdentifier,
      ),
    );
    // An identifier that is none of the batch's makes the whole batch a failure.
    return indexes.length === 0 ? undefined : Math.max(0, Math.min(...indexes));
  }

  #tooOld(records: readonly KinesisStreamRecord[]): boolean {
    const { maximumRecordAgeInSeconds = Number.POSITIVE_INFINITY } = this.#options;
    const first = records[0]?.kinesis.approximateArrivalTimestamp ?? 0;
    return this.#clock.now() / 1000 - first > maximumRecordAgeInSeconds;
  }

  #giveUp(
    shardId: string,
    { records, failures }: Batch,
    condition: GivenUpBatch['requestContext']['condition'],
  ): GivenUpBatch {
    const [first, last] = [records[0]?.kinesis, records.at(-1)?.kinesis];
    const arrival = (seconds = 0) => new Date(seconds * 1000).toISOString();
    return {
      requestContext: {
        requestId: randomUUID(),
        functionArn: FUNCTION_ARN,
        condition,
        approximateInvokeCount: failures,
      },
      version: '1.0',
      timestamp: new Date(this.#clock.now()).toISOString(),
      KinesisBatchInfo: {
        shardId,
        startSequenceNumber: first?.sequenceNumber ?? '',
        endSequenceNumber: last?.sequenceNumber ?? '',
        approximateArrivalOfFirstRecord: arrival(first?.approximateArrivalTimestamp),
        approximateArrivalOfLastRecord: arrival(last?.approximateArrivalTimestamp),
        batchSize: records.length,
        streamArn: this.#options.streamArn,
      },
      payload: { Records: records },
    };
  }

  #toEvent(shardId: string, record: MappedRecord): KinesisStreamRecord {
    return {
      kinesis: {
        kinesisSchemaVersion: '1.0',
        partitionKey: record.partitionKey,
        sequenceNumber: record.sequenceNumber,
        data: Buffer.from(record.data).toString('base64'),
        approximateArrivalTimestamp: record.arrivedAt / 1000,
      },
      eventSource: 'aws:kinesis',
      eventVersion: '1.0',
      eventID: `${shardId}:${record.sequenceNumber}`,
      eventName: 'aws:kinesis:record',
      invokeIdentityArn: 'arn:aws:iam::000000000000:role/consumer',
      awsRegion: 'us-east-1',
      eventSourceARN: this.#options.streamArn,
    };
  }
}

/** Which of the concurrent batches a partition key belongs to: always the same one. */
function laneOf(partitionKey: string, lanes: number): number {
  let hash = 0;
  for (const char of partitionKey) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash % lanes;
}
