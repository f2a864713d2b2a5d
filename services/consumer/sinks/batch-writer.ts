import { randomUUID } from 'node:crypto';
import { isThrottle } from '../../shared/aws.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import { errorCode, WeirError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { StoppedError } from '../errors.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { AdaptiveLimit } from './adaptive-limit.ts';
import { unprocessedItems } from './answers.ts';
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
/** Failures of one call, throttles not counted, before its items may be suspected. */
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
  /** A key of the table by its form, as the wire carries it: with a value that no item has. */
  keyWith: (value: string) => string;
  /** Least time, in ms, for which items are tried before they may be given up. */
  retryMs: number;
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
 * - A call refused by validation is halved until the one item at fault stands alone; that one is returned.
 * - So is a call that failed 5 times, by no throttle, and for `retryMs`, if the table takes another write right then: it
 *   is asked to delete what isn't there. As long as it doesn't take that either, it is the table's fault. An item that stands
 *   alone must fail as often again after that.
 */
export class BatchWriter {
  readonly #deps: BatchWriterDeps;
  readonly #probe: string;

  constructor(deps: BatchWriterDeps) {
    this.#deps = deps;
    const Key = deps.keyWith(`weir-probe-${randomUUID()}`);
    this.#probe = `{"RequestItems":{"${deps.table}":[{"DeleteRequest":{"Key":${Key}}}]}}`;
  }

  /**
   * @param items no two with the same key: BatchWriteItem refuses such a call whole.
   * @param signal gives up when aborted.
   * @param progress called at every attempt, and as the queue of calls moves on: waiting for a slow store counts as being alive.
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
    const since = this.#deps.clock.monotonic();
    for (const chunk of chunks(possible)) {
      calls.push(this.#writeChunk(chunk, since, refused, signal, progress));
    }
    await Promise.all(calls);
    return refused;
  }

  /** @param since monotonic ms from which on the items are tried. */
  async #writeChunk(
    items: readonly WireItem[],
    since: number,
    refused: RefusedItem[],
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    const { clock, random, limit, metrics, retryMs } = this.#deps;
    let pending = items;
    let triedFrom = since;
    // The table was seen to take another write while it failed on this one.
    let suspected = false;
    for (let attempt = 0, failures = 0; ; attempt++) {
      // Waiting for a backoff is not waiting in flight: the limit's room is for calls.
      const result = await limit.run(() => this.#attempt(pending, signal), progress);
      if (result.kind === 'stored') return;
      if (signal.aborted) throw new StoppedError();
      if (result.kind === 'partly') {
        // What is left is another call: the failures before were not its items' own.
        if (result.left.length < pending.length) {
          attempt = failures = 0;
          triedFrom = clock.monotonic();
          suspected = false;
        }
        pending = result.left;
        metrics.writeRetries.inc({ reason: 'unprocessed' });
      } else {
        const { error, throttled } = result;
        if (!throttled) failures++;
        const tried = !throttled && failures >= MAX_ATTEMPTS && clock.monotonic() - triedFrom >= retryMs;
        const atFault = tried && (await this.#takesAnother(signal, progress));
        if (tried && !atFault) suspected = false;
        const [only] = pending;
        if (atFault && !suspected && pending.length === 1) {
          // Not yet: an outage may have ended while its last call was under way.
          suspected = true;
          attempt = failures = 0;
        } else if (atFault || isRefusal(error)) {
          if (only && pending.length === 1) {
            refused.push({ key: only.key, error: error as Error });
            return;
          }
          const half = pending.length >> 1;
          await Promise.all([
            this.#writeChunk(pending.slice(0, half), triedFrom, refused, signal, progress),
            this.#writeChunk(pending.slice(half), triedFrom, refused, signal, progress),
          ]);
          return;
        }
        metrics.writeRetries.inc({ reason: throttled ? 'throttled' : 'error' });
        this.#logFailure(error, attempt);
      }
      await clock.sleep(fullJitter(attempt, BACKOFF, random), signal);
    }
  }

  /** Whether the table takes a write at all, of an item that is none of ours. */
  async #takesAnother(signal: AbortSignal, progress: () => void): Promise<boolean> {
    const { dynamodb, limit } = this.#deps;
    const { taken } = await limit.run(
      () =>
        dynamodb
          .call('BatchWriteItem', this.#probe, signal)
          .then((answer) => ({ taken: unprocessedItems(answer).length === 0, throttled: false }))
          .catch((error: unknown) => ({ taken: false, throttled: isThrottle(error) })),
      progress,
    );
    return taken;
  }

  /** One BatchWriteItem call. */
  async #attempt(items: readonly WireItem[], signal: AbortSignal): Promise<Attempt> {
    const { dynamodb, table, clock, metrics } = this.#deps;
    const started = clock.monotonic();
    try {
      const answer = await dynamodb.call('BatchWriteItem', requestBody(table, items), signal);
      metrics.writeSeconds.observe((clock.monotonic() - started) / 1000);
      const left = this.#unprocessed(answer, items);
      return left.length === 0
        ? { kind: 'stored', throttled: false }
        : { kind: 'partly', left, throttled: true };
    } catch (error) {
      return { kind: 'failed', error, throttled: isThrottle(error) };
    }
  }

  /** The items that DynamoDB left unprocessed: all, if it names some that it was not given. */
  #unprocessed(answer: string, items: readonly WireItem[]): WireItem[] {
    const left = unprocessedItems(answer) as ({ PutRequest?: { Item?: AnsweredItem } } | null)[];
    if (left.length === 0) return [];
    const keys = new Set(left.map((request) => this.#deps.keyOf(request?.PutRequest?.Item ?? {})));
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
