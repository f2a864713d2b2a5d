import { isThrottle } from '../../shared/aws.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import { errorCode, WeirError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { AdaptiveLimit } from './adaptive-limit.ts';
import type { WireItem } from './wire.ts';

/** BatchWriteItem takes 25 items a call. */
const MAX_ITEMS_PER_CALL = 25;
/**
 * UTF-16 units of JSON in a call: at three bytes each below the 16 MB that DynamoDB reads. Beyond, it answers before it
 * looks at the items, and no attempt would tell more. An item of more is above its 400 KB whatever is in it, since at
 * most 7 units are a byte there (`{"NULL":true},` in a list is two).
 */
const MAX_CALL_LENGTH = 4_000_000;
const BACKOFF = { baseMs: 50, maxMs: 5_000 };
/** A store that is down for long is logged at its first failure and then at every so many attempts. */
const LOG_EVERY_ATTEMPTS = 10;
/** Failures of one call, while others succeed, after which its items are suspected: it is halved, down to one item. */
const MAX_ATTEMPTS = 5;

/** An item that the table will never take, with DynamoDB's reason. */
export interface RefusedItem {
  /** The item's `key`. */
  key: string;
  error: Error;
}

/** An item that need not be sent to know that DynamoDB refuses it. */
class ItemTooLargeError extends WeirError {
  constructor(length: number) {
    super('item-too-large', `an item of ${length} characters of JSON is above DynamoDB's 400 KB`);
  }
}

export interface BatchWriterDeps {
  dynamodb: DynamoDBJson;
  table: string;
  /** The table's primary key of an item as the wire carries it, in one string: equal to its `WireItem.key`. */
  keyOf: (item: AnsweredItem) => string;
  /** Bounds the calls in flight over all shards of the process. */
  limit: AdaptiveLimit;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** An item in DynamoDB's answer. */
export type AnsweredItem = Readonly<Record<string, { readonly S?: string; readonly N?: string } | undefined>>;

/** What one attempt of a call came to. */
type Attempt =
  | { kind: 'stored'; throttled: false }
  | { kind: 'partly'; left: WireItem[]; throttled: true }
  | { kind: 'failed'; error: unknown; throttled: boolean };

/**
 * Puts items into one table with BatchWriteItem, in parallel and in any order, until each is stored or refused.
 *
 * - `UnprocessedItems` and failed calls are tried again with full jitter, for as long as it takes: a store that
 *   is down, throttled or forbidden is no reason to give a record up.
 * - A call refused by validation is halved until the one item at fault stands alone; that one is returned. So is a
 *   call that fails again and again while the table takes others.
 */
export class BatchWriter {
  readonly #deps: BatchWriterDeps;
  /** Monotonic ms of the last call that went through. */
  #storedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: BatchWriterDeps) {
    this.#deps = deps;
  }

  /**
   * @param items no two with the same key: BatchWriteItem refuses such a call whole.
   * @param signal gives up when aborted.
   * @param progress called at every attempt, so that waiting for a slow store counts as being alive.
   * @returns the items that DynamoDB refuses for good.
   * @throws StoppedError when `signal` aborted before all were stored.
   */
  async write(items: readonly WireItem[], signal: AbortSignal, progress: () => void): Promise<RefusedItem[]> {
    const refused: RefusedItem[] = [];
    const calls: Promise<void>[] = [];
    const possible = items.filter(({ key, json }) => {
      if (json.length <= MAX_CALL_LENGTH) return true;
      refused.push({ key, error: new ItemTooLargeError(json.length) });
      return false;
    });
    for (const chunk of chunks(possible)) calls.push(this.#writeChunk(chunk, refused, signal, progress));
    await Promise.all(calls);
    return refused;
  }

  async #writeChunk(
    items: readonly WireItem[],
    refused: RefusedItem[],
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    const { clock, random, limit, metrics } = this.#deps;
    const startedAt = clock.monotonic();
    let pending = items;
    for (let attempt = 0, failures = 0; ; attempt++) {
      // Waiting for a backoff is not waiting in flight: the limit's room is for calls.
      const result = await limit.run(() => this.#attempt(pending, signal, progress));
      if (result.kind === 'stored') return;
      if (signal.aborted) throw new StoppedError();
      if (result.kind === 'partly') {
        // What is left is another call: the failures before were not its items' own.
        if (result.left.length < pending.length) attempt = failures = 0;
        pending = result.left;
        metrics.writeRetries.inc({ reason: 'unprocessed' });
      } else {
        const { error, throttled } = result;
        if (!throttled) failures++;
        const suspected = failures >= MAX_ATTEMPTS && this.#storedAt > startedAt;
        if (isRefusal(error) || (suspected && error instanceof Error)) {
          const [only] = pending;
          if (only && pending.length === 1) {
            refused.push({ key: only.key, error: error as Error });
            return;
          }
          const half = pending.length >> 1;
          // At the same time: that the one half goes through is what speaks against the other.
          await Promise.all([
            this.#writeChunk(pending.slice(0, half), refused, signal, progress),
            this.#writeChunk(pending.slice(half), refused, signal, progress),
          ]);
          return;
        }
        metrics.writeRetries.inc({ reason: throttled ? 'throttled' : 'error' });
        this.#logFailure(error, attempt);
      }
      await clock.sleep(fullJitter(attempt, BACKOFF, random), signal);
    }
  }

  /** One BatchWriteItem call. */
  async #attempt(items: readonly WireItem[], signal: AbortSignal, progress: () => void): Promise<Attempt> {
    const { dynamodb, table, clock, metrics } = this.#deps;
    progress();
    const started = clock.monotonic();
    try {
      const answer = await dynamodb.call('BatchWriteItem', requestBody(table, items), signal);
      const now = clock.monotonic();
      metrics.writeSeconds.observe((now - started) / 1000);
      const left = this.#unprocessed(answer, items);
      if (left.length < items.length) this.#storedAt = now;
      return left.length === 0
        ? { kind: 'stored', throttled: false }
        : { kind: 'partly', left, throttled: true };
    } catch (error) {
      return { kind: 'failed', error, throttled: isThrottle(error) };
    }
  }

  /** The items that DynamoDB left unprocessed: all, if it names some that it was not given. */
  #unprocessed(answer: string, items: readonly WireItem[]): WireItem[] {
    // Nearly every answer; parsing it tells nothing more.
    if (answer === '{"UnprocessedItems":{}}') return [];
    const parsed = JSON.parse(answer) as {
      UnprocessedItems?: Record<string, { PutRequest?: { Item?: AnsweredItem } }[]>;
    };
    const left = Object.values(parsed.UnprocessedItems ?? {}).flat();
    if (left.length === 0) return [];
    const keys = new Set(left.map(({ PutRequest }) => this.#deps.keyOf(PutRequest?.Item ?? {})));
    const pending = items.filter(({ key }) => keys.has(key));
    return pending.length === keys.size ? pending : [...items];
  }

  #logFailure(error: unknown, attempt: number): void {
    const { log, table } = this.#deps;
    const details = { err: error, table, attempt, code: errorCode(error) };
    if (attempt % LOG_EVERY_ATTEMPTS === 0) log.warn(details, 'a write failed and is tried again');
    else log.debug(details, 'a write failed and is tried again');
  }
}

/** Items by the call. */
function* chunks(items: readonly WireItem[]): Generator<WireItem[]> {
  let chunk: WireItem[] = [];
  let length = 0;
  for (const item of items) {
    const full = chunk.length === MAX_ITEMS_PER_CALL || length + item.json.length > MAX_CALL_LENGTH;
    if (full && chunk.length > 0) {
      yield chunk;
      chunk = [];
      length = 0;
    }
    chunk.push(item);
    length += item.json.length;
  }
  if (chunk.length > 0) yield chunk;
}

function requestBody(table: string, items: readonly WireItem[]): string {
  let requests = '';
  for (const { json } of items) requests += `${requests === '' ? '' : ','}{"PutRequest":{"Item":${json}}}`;
  return `{"RequestItems":{"${table}":[${requests}]}}`;
}

/** Refused for what an item is (too large, a bad value), not for how the service feels. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'ValidationException' || error.name === 'ItemCollectionSizeLimitExceededException')
  );
}
