import {
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
  paginateQuery,
  paginateScan,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb';
import { DescribeStreamSummaryCommand, type KinesisClient, PutRecordCommand } from '@aws-sdk/client-kinesis';
import type { Clock } from '../../shared/clock.ts';
import { InvalidEventError, WeirError } from '../../shared/errors.ts';
import { REDRIVEN_FROM } from '../../shared/event.ts';
import { idFromPosition } from '../../shared/ids.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import { decode } from '../pipeline/decode.ts';
import type { StreamRecord } from '../record.ts';
import { type DeadLetter, toRows } from '../sinks/dead-letters.ts';
import { watermarkOf } from '../state/watermark.ts';

const RETRY_MS = 100;
/**
 * Largest record of a stream that isn't set to take larger ones, its partition key included. Source: Kinesis API
 * reference, PutRecord and UpdateMaxRecordSize.
 */
const MAX_RECORD_BYTES = 1_048_576;
/** The last millisecond of the year 9999: what ISO 8601 writes with four digits. */
const LAST_TIME = 253_402_300_799_999;
/** Keeps a byte order mark, which the consumer passes over: a record's text stays as it is. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Reason of those that no pipeline saw fail. */
export const GIVEN_UP = 'batch-given-up';

/** A dead letter without its bytes. */
export interface DeadLetterHead {
  id: string;
  stream: string;
  shardId: string;
  sequenceNumber: string;
  subSequenceNumber: number | undefined;
  partitionKey: string;
  /** When Kinesis took the record, ms since the epoch; `undefined` when the table has no time there. */
  arrivedAt: number | undefined;
  /** A stable code. */
  reason: string;
  /** The code of the error behind it. */
  errorCode: string | undefined;
  message: string;
  /** ISO 8601. */
  failedAt: string;
  sizeBytes: number;
  chunks: number;
}

/** What became of one dead letter. */
export type Redriven =
  /** It is on the stream again, at this place, and is no dead letter any more. */
  | { kind: 'redriven'; shardId: string; sequenceNumber: string }
  /** It stays where it is, for this reason. */
  | ({ kind: 'kept' } & Hindrance);

/** Why a dead letter can't be redriven: it would fail again, or the stream doesn't take it. */
export interface Hindrance {
  /** A stable code. */
  reason: string;
  message: string;
}

export interface DeadLetterQueueDeps {
  dynamodb: DynamoDBClient;
  kinesis: KinesisClient;
  /** The dead-letter table. */
  table: string;
  clock: Clock;
}

/** The dead letters of an application, to be looked at and put through again. */
export class DeadLetterQueue {
  readonly #deps: DeadLetterQueueDeps;
  /** Bytes of the largest record, by stream, of those that were asked. */
  readonly #largest = new Map<string, number>();

  constructor(deps: DeadLetterQueueDeps) {
    this.#deps = deps;
  }

  /** All dead letters in no order, without their bytes. @param reason those with this reason only. */
  async *list(reason?: string): AsyncGenerator<DeadLetterHead> {
    const { dynamodb, table } = this.#deps;
    const pages = paginateScan(
      { client: dynamodb },
      {
        TableName: table,
        FilterExpression: reason === undefined ? 'chunk = :head' : 'chunk = :head AND reason = :reason',
        ExpressionAttributeValues: {
          ':head': { N: '0' },
          ...(reason === undefined ? {} : { ':reason': { S: reason } }),
        },
        ProjectionExpression:
          'id, chunks, #stream, shard_id, sequence_number, sub_sequence_number, partition_key, ' +
          'approximate_arrival_timestamp, reason, error_code, #message, failed_at, size_bytes',
        ExpressionAttributeNames: { '#stream': 'stream', '#message': 'message' },
      },
    );
    for await (const { Items = [] } of pages) for (const row of Items) yield headOf(row);
  }

  /**
   * The record of a dead letter, all its bytes.
   *
   * @throws WeirError `dead-letter-not-found`, or `dead-letter-incomplete` when it is being written or removed.
   */
  async read(id: string): Promise<{ head: DeadLetterHead; data: Buffer }> {
    const { dynamodb, table } = this.#deps;
    const rows: Row[] = [];
    const pages = paginateQuery(
      { client: dynamodb },
      {
        TableName: table,
        KeyConditionExpression: 'id = :id',
        ExpressionAttributeValues: { ':id': { S: id } },
        ConsistentRead: true,
      },
    );
    for await (const { Items = [] } of pages) rows.push(...Items);
    const [first] = rows;
    if (first?.chunk?.N !== '0')
      throw new WeirError('dead-letter-not-found', `there is no dead letter ${id}`);
    const head = headOf(first);
    const data = Buffer.concat(rows.map((row) => row.data?.B ?? new Uint8Array()));
    if (data.byteLength !== head.sizeBytes || rows.length !== head.chunks) {
      throw new WeirError(
        'dead-letter-incomplete',
        `dead letter ${id} has ${data.byteLength} of ${head.sizeBytes} bytes, in ${rows.length} of ${head.chunks} items: ` +
          'it is being written or removed',
        { retryable: true },
      );
    }
    return { head, data };
  }

  /**
   * What `redrive` would find, without doing anything: why the record would fail again by today's code, as far as its
   * bytes tell, or why its stream doesn't take it.
   *
   * @throws WeirError as `read`.
   */
  async hindrance(id: string, options: { force?: boolean } = {}): Promise<Hindrance | undefined> {
    const prepared = await this.#prepare(id, options);
    return prepared.kind === 'kept' ? prepared : undefined;
  }

  /**
   * Removes a dead letter for good.
   *
   * @throws WeirError as `read`; or what DynamoDB answers.
   */
  async purge(id: string): Promise<void> {
    const { head } = await this.read(id);
    await this.#remove(head);
  }

  /**
   * Puts a dead letter's record on its stream again, under its partition key, and removes the letter once Kinesis has
   * stored it. From there on it goes the way of every record: in the order of its source as of now, into the tables or
   * back into the dead letters.
   *
   * It carries the identity it had, so that a redrive that is made twice (its answer was lost, two people were at it)
   * counts once, as a producer's retry does. One that was given up with its batch is such a retry itself: it may have been
   * stored after all.
   *
   * @param options.force also when it would fail again by today's code, as far as its stream takes it.
   * @throws WeirError as `read`, or what Kinesis and DynamoDB answer; the letter is there then.
   */
  async redrive(id: string, options: { force?: boolean } = {}): Promise<Redriven> {
    const { kinesis } = this.#deps;
    const prepared = await this.#prepare(id, options);
    if (prepared.kind === 'kept') return prepared;
    const { head, Data } = prepared;
    const answer = await kinesis.send(
      new PutRecordCommand({ StreamName: head.stream, PartitionKey: head.partitionKey, Data }),
    );
    const { ShardId: shardId, SequenceNumber: sequenceNumber } = answer;
    if (!shardId || !sequenceNumber) throw unexpectedAnswer('Kinesis');
    await this.#remove(head);
    return { kind: 'redriven', shardId, sequenceNumber };
  }

  /** What goes on the stream for a dead letter, or what is against it. */
  async #prepare(
    id: string,
    { force = false }: { force?: boolean },
  ): Promise<{ kind: 'ready'; head: DeadLetterHead; Data: Uint8Array } | ({ kind: 'kept' } & Hindrance)> {
    const { head, data } = await this.read(id);
    const record = recordOf(head, data);
    const failure = force ? undefined : failureOf(record, head.stream);
    if (failure) return { kind: 'kept', ...failure };
    const Data = withIdentity(record, head);
    // One as large as the stream takes grows by its identity. Without it, it might count twice, or not at all.
    const bytes = Data.byteLength + Buffer.byteLength(head.partitionKey);
    const most = bytes <= MAX_RECORD_BYTES ? bytes : await this.#largestRecord(head.stream);
    if (bytes <= most) return { kind: 'ready', head, Data };
    const message =
      `with its partition key and the identity that it keeps it has ${bytes} bytes, and the stream takes ${most}: ` +
      'raise the largest record of the stream (UpdateMaxRecordSize)';
    return { kind: 'kept', reason: 'record-too-large', message };
  }

  /** Bytes of the largest record that a stream takes, partition key included; where that isn't told, what each takes. */
  async #largestRecord(stream: string): Promise<number> {
    const known = this.#largest.get(stream);
    if (known !== undefined) return known;
    const bytes = await this.#deps.kinesis
      .send(new DescribeStreamSummaryCommand({ StreamName: stream }))
      .then(
        ({ StreamDescriptionSummary: told }) => (told?.MaxRecordSizeInKiB ?? 0) * 1024 || MAX_RECORD_BYTES,
        () => MAX_RECORD_BYTES,
      );
    this.#largest.set(stream, bytes);
    return bytes;
  }

  /**
   * Keeps records as dead letters that no pipeline saw fail: those of batches that were given up before one did. What is a
   * dead letter already stays as it is: a pipeline knew more of it.
   *
   * @param stream that they are of. @returns their ids.
   * @throws WeirError, or what DynamoDB answers.
   */
  async add(letters: readonly DeadLetter[], stream: string): Promise<string[]> {
    const failedAt = new Date(this.#deps.clock.now()).toISOString();
    const ids: string[] = [];
    for (const letter of letters) {
      // Chunk 0 names the others, so it comes last.
      const [head = {}, ...rest] = toRows(letter, stream, failedAt);
      await this.#write(rest.map((Item) => ({ PutRequest: { Item } })));
      await this.#putNew(head);
      ids.push(head.id?.S ?? '');
    }
    return ids;
  }

  async #putNew(Item: Row): Promise<void> {
    const { dynamodb, table: TableName } = this.#deps;
    const ConditionExpression = 'attribute_not_exists(id)';
    try {
      await dynamodb.send(new PutItemCommand({ TableName, Item, ConditionExpression }));
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
    }
  }

  /** Chunk 0 goes first: from then on there is no such dead letter. */
  async #remove({ id, chunks }: DeadLetterHead): Promise<void> {
    const keys = Array.from({ length: chunks }, (_, chunk) => ({
      id: { S: id },
      chunk: { N: String(chunk) },
    }));
    await this.#write(keys.map((Key) => ({ DeleteRequest: { Key } })));
  }

  async #write(requests: readonly WriteRequest[]): Promise<void> {
    const { dynamodb, table, clock } = this.#deps;
    // One after the other: BatchWriteItem knows no order among its own.
    for (const request of requests) {
      for (let left: WriteRequest[] = [request]; left.length > 0; ) {
        const { UnprocessedItems } = await dynamodb.send(
          new BatchWriteItemCommand({ RequestItems: { [table]: left } }),
        );
        if (!UnprocessedItems) throw unexpectedAnswer('DynamoDB');
        left = UnprocessedItems[table] ?? [];
        if (left.length > 0) await clock.sleep(RETRY_MS);
      }
    }
  }
}

/** For what a proxy may answer with status 200. */
function unexpectedAnswer(service: string): WeirError {
  const message = `what came is not ${service}'s answer: look for a proxy between here and there`;
  return new WeirError('answer-unexpected', message, { retryable: true });
}

/** In the order of the stream, as far as it has one: along a lineage of shards. */
export function byPosition(a: DeadLetterHead, b: DeadLetterHead): number {
  const [one, other] = [a, b].map(
    ({ stream, shardId, sequenceNumber, subSequenceNumber }) =>
      `${stream}/${watermarkOf(shardId, sequenceNumber, subSequenceNumber)}`,
  ) as [string, string];
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

function recordOf(
  { subSequenceNumber, arrivedAt = 0, ...place }: DeadLetterHead,
  data: Buffer,
): StreamRecord {
  return { ...place, ...(subSequenceNumber === undefined ? {} : { subSequenceNumber }), arrivedAt, data };
}

function failureOf(record: StreamRecord, stream: string): Hindrance | undefined {
  try {
    decode(record, stream);
    return undefined;
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    return { reason: error.code, message: error.message };
  }
}

/**
 * The bytes of a record with the dead letter that it comes from, so that it is not taken for a retry of the record it was, and
 * with the `request_id` that it counts under. One that came without is known by its old position, which the new one
 * can't tell. Both are written into its text, which else stays as it is.
 *
 * A record that was given up with its batch doesn't name its letter. It, or a producer's retry of it, may have its result: a
 * window that knows its id says so, since it was stored after the result.
 */
function withIdentity(record: StreamRecord, { id, stream, reason }: DeadLetterHead): Uint8Array {
  let text: string;
  let parsed: unknown;
  try {
    text = utf8.decode(record.data);
    parsed = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text);
  } catch {
    return record.data;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return record.data;
  const fields: string[] = [];
  if (!Object.hasOwn(parsed, 'request_id')) {
    const requestId = idFromPosition(stream, record.sequenceNumber, record.subSequenceNumber ?? 0);
    fields.push(`"request_id":"${requestId}"`);
  }
  // At the end: of a name that comes twice, as in a record that is redriven again, the last one counts.
  if (reason !== GIVEN_UP) fields.push(`"${REDRIVEN_FROM}":${JSON.stringify(id)}`);
  if (fields.length === 0) return record.data;
  const comma = Object.keys(parsed).length > 0 ? ',' : '';
  return Buffer.from(`${text.slice(0, text.lastIndexOf('}'))}${comma}${fields.join()}}`);
}

function headOf(row: Row): DeadLetterHead {
  const text = (name: string) => row[name]?.S ?? '';
  const number = (name: string) => Number(row[name]?.N ?? 0);
  const arrivedAt = number('approximate_arrival_timestamp') * 1000;
  return {
    id: text('id'),
    stream: text('stream'),
    shardId: text('shard_id'),
    sequenceNumber: text('sequence_number'),
    subSequenceNumber: row.sub_sequence_number ? number('sub_sequence_number') : undefined,
    partitionKey: text('partition_key'),
    arrivedAt: arrivedAt >= 0 && arrivedAt <= LAST_TIME ? arrivedAt : undefined,
    reason: text('reason'),
    errorCode: row.error_code?.S,
    message: text('message'),
    failedAt: text('failed_at'),
    sizeBytes: number('size_bytes'),
    chunks: number('chunks'),
  };
}
