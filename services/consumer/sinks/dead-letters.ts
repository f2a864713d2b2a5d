import { WeirError } from '../../shared/errors.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import type { StreamRecord } from '../record.ts';
import type { AnsweredItem, BatchWriter } from './batch-writer.ts';
import { rowJson, type WireItem } from './wire.ts';

/** Bytes of a record that one item holds; DynamoDB's item limit is 400 KB with names and the other fields. */
const CHUNK_BYTES = 350 * 1024;
const MAX_MESSAGE_LENGTH = 1_000;

/** A record that can't be processed, and why. */
export interface DeadLetter {
  record: StreamRecord;
  /** A stable code. */
  reason: string;
  /** The code of the error behind it. */
  errorCode: string;
  message: string;
}

/**
 * The dead-letter table: each record whole, with its position and the reason, so that it can be looked at and
 * put through again. A record larger than an item is spread over several, `chunk` 0 to `chunks` - 1.
 */
export class DeadLetterSink {
  readonly #writer: BatchWriter;
  readonly #stream: string;

  constructor(writer: BatchWriter, stream: string) {
    this.#writer = writer;
    this.#stream = stream;
  }

  /**
   * Stores dead letters; the same record again overwrites itself.
   *
   * @param failedAt ISO 8601.
   * @throws StoppedError when `signal` aborted, WeirError `dead-letter-refused` when DynamoDB refuses one.
   */
  async write(
    letters: readonly DeadLetter[],
    failedAt: string,
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    if (letters.length === 0) return;
    const rows = letters.map((letter) => toRows(letter, this.#stream, failedAt));
    // Chunk 0 names the others, so it comes last: where it stands, the dead letter is whole.
    const refused = [
      ...(await this.#writer.write(
        rows.flatMap(([, ...rest]) => rest.map(toWire)),
        signal,
        progress,
      )),
      ...(await this.#writer.write(
        rows.flatMap(([head]) => (head ? toWire(head) : [])),
        signal,
        progress,
      )),
    ];
    if (refused[0]) {
      throw new WeirError('dead-letter-refused', 'DynamoDB refused a dead letter', {
        cause: refused[0].error,
      });
    }
  }
}

/** `WireItem.key` of an item of the dead-letter table. */
export const deadLetterKey = (item: AnsweredItem): string => `${item.id?.S}#${item.chunk?.N}`;
/** A key of the dead-letter table. */
export const deadLetterKeyWith = (value: string): string => `{"id":{"S":"${value}"},"chunk":{"N":"0"}}`;

function toWire(row: Row): WireItem {
  return { key: `${row.id?.S}#${row.chunk?.N}`, json: rowJson(row) };
}

/** The items of one dead letter, chunk 0 first. */
export function toRows(letter: DeadLetter, stream: string, failedAt: string): Row[] {
  const { record } = letter;
  const { subSequenceNumber: sub } = record;
  const place = `${stream}/${record.shardId}/${record.sequenceNumber}`;
  const id = { S: sub === undefined ? place : `${place}.${sub}` };
  const chunks = Math.max(1, Math.ceil(record.data.byteLength / CHUNK_BYTES));
  const head: Row = {
    chunks: { N: String(chunks) },
    stream: { S: stream },
    shard_id: { S: record.shardId },
    sequence_number: { S: record.sequenceNumber },
    ...(sub === undefined ? {} : { sub_sequence_number: { N: String(sub) } }),
    partition_key: { S: record.partitionKey },
    approximate_arrival_timestamp: { N: String(record.arrivedAt / 1000) },
    reason: { S: letter.reason },
    error_code: { S: letter.errorCode },
    message: { S: letter.message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed() },
    failed_at: { S: failedAt },
    size_bytes: { N: String(record.data.byteLength) },
  };
  return Array.from({ length: chunks }, (_, chunk) => ({
    id,
    chunk: { N: String(chunk) },
    ...(chunk === 0 ? head : {}),
    data: { B: record.data.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES) },
  }));
}
