import { BatchWriteItemCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { LimitFunction } from 'p-limit';
import { isThrottle } from '../../shared/aws.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { errorCode } from '../../shared/errors.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import type { ConsumerMetrics } from '../metrics.ts';

/** BatchWriteItem takes 25 items a call (and 16 MB, which 25 items of the allowed 400 KB can't reach). */
const MAX_ITEMS_PER_CALL = 25;
const BACKOFF = { baseMs: 50, maxMs: 5_000 };
/** A store that is down for long is logged at its first failure and then at every so many attempts. */
const LOG_EVERY_ATTEMPTS = 10;

/** A row that the table will never take, with DynamoDB's reason. */
export interface RefusedRow {
  row: Row;
  error: Error;
}

export interface BatchWriterDeps {
  client: DynamoDBClient;
  table: string;
  /** Bounds the calls in flight over all shards of the process. */
  limit: LimitFunction;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/**
 * Puts rows into one table with BatchWriteItem, in parallel and in any order, until each is stored or refused.
 *
 * - `UnprocessedItems` and failed calls are tried again with full jitter, for as long as it takes: a store that
 *   is down or forbidden is no reason to give a record up.
 * - A call refused by validation is halved until the one row at fault stands alone; that one is returned.
 */
export class BatchWriter {
  readonly #deps: BatchWriterDeps;

  constructor(deps: BatchWriterDeps) {
    this.#deps = deps;
  }

  /**
   * @param rows no two with the same key: BatchWriteItem refuses such a call whole.
   * @param signal gives up when aborted.
   * @param progress called at every attempt, so that waiting for a slow store counts as being alive.
   * @returns the rows that DynamoDB refuses for good.
   * @throws StoppedError when `signal` aborted before all were stored.
   */
  async write(rows: readonly Row[], signal: AbortSignal, progress: () => void): Promise<RefusedRow[]> {
    const calls: Promise<RefusedRow[]>[] = [];
    for (let i = 0; i < rows.length; i += MAX_ITEMS_PER_CALL) {
      const chunk = rows.slice(i, i + MAX_ITEMS_PER_CALL);
      calls.push(this.#deps.limit(() => this.#writeChunk(chunk, signal, progress)));
    }
    return (await Promise.all(calls)).flat();
  }

  async #writeChunk(rows: Row[], signal: AbortSignal, progress: () => void): Promise<RefusedRow[]> {
    const { clock, random, metrics } = this.#deps;
    let pending = rows;
    for (let attempt = 0; pending.length > 0; attempt++) {
      if (signal.aborted) throw new StoppedError();
      progress();
      try {
        const left = await this.#call(pending, signal);
        if (left.length < pending.length) attempt = 0;
        pending = left;
        if (pending.length === 0) break;
        metrics.writeRetries.inc({ reason: 'unprocessed' });
      } catch (error) {
        if (signal.aborted) throw new StoppedError();
        if (isRefusal(error)) return this.#isolate(pending, error, signal, progress);
        metrics.writeRetries.inc({ reason: isThrottle(error) ? 'throttled' : 'error' });
        this.#logFailure(error, attempt);
      }
      await clock.sleep(fullJitter(attempt, BACKOFF, random), signal);
    }
    return [];
  }

  /** One BatchWriteItem call. @returns the rows that DynamoDB left unprocessed. */
  async #call(rows: Row[], signal: AbortSignal): Promise<Row[]> {
    const { client, table, clock, metrics } = this.#deps;
    const started = clock.monotonic();
    const answer = await client.send(
      new BatchWriteItemCommand({
        RequestItems: { [table]: rows.map((Item) => ({ PutRequest: { Item } })) },
      }),
      { abortSignal: signal },
    );
    metrics.writeSeconds.observe((clock.monotonic() - started) / 1000);
    return (answer.UnprocessedItems?.[table] ?? []).flatMap<Row>((request) => request.PutRequest?.Item ?? []);
  }

  async #isolate(
    rows: Row[],
    error: Error,
    signal: AbortSignal,
    progress: () => void,
  ): Promise<RefusedRow[]> {
    const [only] = rows;
    if (rows.length === 1 && only) return [{ row: only, error }];
    const half = rows.length >> 1;
    return [
      ...(await this.#writeChunk(rows.slice(0, half), signal, progress)),
      ...(await this.#writeChunk(rows.slice(half), signal, progress)),
    ];
  }

  #logFailure(error: unknown, attempt: number): void {
    const { log, table } = this.#deps;
    const details = { err: error, table, attempt, code: errorCode(error) };
    if (attempt % LOG_EVERY_ATTEMPTS === 0) log.warn(details, 'a write failed and is tried again');
    else log.debug(details, 'a write failed and is tried again');
  }
}

/** Refused for what an item is (too large, a bad value), not for how the service feels. */
function isRefusal(error: unknown): error is Error {
  return (
    error instanceof Error &&
    (error.name === 'ValidationException' || error.name === 'ItemCollectionSizeLimitExceededException')
  );
}
