import {
  DescribeStreamSummaryCommand,
  type KinesisClient,
  type PutRecordsResultEntry,
} from '@aws-sdk/client-kinesis';
import { isRetryable, isThrottle } from '../../shared/aws.ts';
import { AwsJson } from '../../shared/aws-json.ts';
import { putRecordsBody } from './put-records-body.ts';
import { type PutOutcome, type Sink, SinkError, type SinkRecord } from './sink.ts';

const THROTTLED = 'ProvisionedThroughputExceededException';

/**
 * PutRecords on one stream. Neither the client (built with `maxAttempts: 1`) nor the calls retry: only what failed is sent
 * again, and the batcher does that. The records go past the SDK, whose base64 alone is a tenth of what a batch costs.
 */
export class KinesisSink implements Sink {
  readonly #client: KinesisClient;
  readonly #kinesis: AwsJson;
  readonly #stream: string;

  /** @param requestTimeoutMs of a PutRecords call. */
  constructor(client: KinesisClient, stream: string, requestTimeoutMs: number) {
    this.#client = client;
    this.#kinesis = new AwsJson(
      client,
      { name: 'kinesis', target: 'Kinesis_20131202', version: '1.1' },
      { requestTimeoutMs },
    );
    this.#stream = stream;
  }

  async put(records: readonly SinkRecord[]): Promise<PutOutcome[]> {
    const kinesis = this.#kinesis;
    const body = putRecordsBody(this.#stream, records);
    const entries = entriesOf(await this.#attempt(kinesis.call('PutRecords', body)));
    if (entries.length !== records.length) {
      throw new SinkError('unavailable', `Kinesis answered ${entries.length} of ${records.length} records`);
    }
    return entries.map(toOutcome);
  }

  /** Ends the connections of calls. */
  close(): void {
    this.#kinesis.close();
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

/** @throws SinkError `unavailable` for an answer that can't be read: the records may be stored. */
function entriesOf(answer: string): PutRecordsResultEntry[] {
  try {
    const { Records } = JSON.parse(answer) as { Records?: unknown };
    if (Array.isArray(Records)) return Records;
  } catch {
    // Half an answer, or somebody else's page with a status 200.
  }
  throw new SinkError('unavailable', 'Kinesis gave an answer that is none');
}

function toOutcome(entry: PutRecordsResultEntry): PutOutcome {
  const { ErrorCode, ShardId, SequenceNumber } = entry ?? {};
  if (ErrorCode !== undefined && ErrorCode !== null)
    return { failure: ErrorCode === THROTTLED ? 'throttled' : 'unavailable' };
  // An entry with neither an error nor a position is no proof that the record is stored.
  if (!ShardId || !SequenceNumber) return { failure: 'unavailable' };
  return { shardId: ShardId, sequenceNumber: SequenceNumber };
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
