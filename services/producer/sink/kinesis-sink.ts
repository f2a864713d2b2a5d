import {
  DescribeStreamSummaryCommand,
  type KinesisClient,
  PutRecordsCommand,
  type PutRecordsResultEntry,
} from '@aws-sdk/client-kinesis';
import { isRetryable, isThrottle } from '../../shared/aws.ts';
import { type PutOutcome, type Sink, SinkError, type SinkRecord } from './sink.ts';

const THROTTLED = 'ProvisionedThroughputExceededException';

/** PutRecords on one stream. The client is built with `maxAttempts: 1`: only what failed is sent again, and the batcher does that. */
export class KinesisSink implements Sink {
  readonly #client: KinesisClient;
  readonly #stream: string;

  constructor(client: KinesisClient, stream: string) {
    this.#client = client;
    this.#stream = stream;
  }

  async put(records: readonly SinkRecord[]): Promise<PutOutcome[]> {
    const Records = records.map(({ partitionKey, explicitHashKey, data }) => ({
      PartitionKey: partitionKey,
      ...(explicitHashKey === undefined ? {} : { ExplicitHashKey: explicitHashKey }),
      Data: data,
    }));
    const answer = await this.#attempt(
      this.#client.send(new PutRecordsCommand({ StreamName: this.#stream, Records })),
    );
    const entries = answer.Records ?? [];
    if (entries.length !== records.length) {
      throw new SinkError('unavailable', `Kinesis answered ${entries.length} of ${records.length} records`);
    }
    return entries.map(toOutcome);
  }

  /** @throws SinkError when the stream does not answer, or is not one that takes records. */
  async check(): Promise<void> {
    const answer = await this.#attempt(
      this.#client.send(new DescribeStreamSummaryCommand({ StreamName: this.#stream })),
    );
    const status = answer.StreamDescriptionSummary?.StreamStatus;
    if (status !== 'ACTIVE' && status !== 'UPDATING') {
      throw new SinkError('unavailable', `stream ${this.#stream} is ${status}`);
    }
  }

  async #attempt<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      const failure = isThrottle(error) ? 'throttled' : isRetryable(error) ? 'unavailable' : 'rejected';
      throw new SinkError(failure, `stream ${this.#stream}: ${describe(error)}`, error);
    }
  }
}

function toOutcome(entry: PutRecordsResultEntry): PutOutcome {
  const { ErrorCode, ShardId, SequenceNumber } = entry;
  if (ErrorCode !== undefined) return { failure: ErrorCode === THROTTLED ? 'throttled' : 'unavailable' };
  // An entry with neither an error nor a position is no proof that the record is stored.
  if (!ShardId || !SequenceNumber) return { failure: 'unavailable' };
  return { shardId: ShardId, sequenceNumber: SequenceNumber };
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
