import { isRetryable, isThrottle } from '../../shared/aws.ts';
import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import { errorCode } from '../../shared/errors.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import type { Logger } from '../../shared/log.ts';
import { EXPIRES_AT } from '../../shared/tables.ts';
import { StoppedError } from '../errors.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { AdaptiveLimit } from '../sinks/adaptive-limit.ts';
import { checkUpdated, foundItems } from '../sinks/answers.ts';
import { rowFrom } from '../sinks/wire.ts';
import { type SourceState, STATE_PART } from './source-state.ts';

/** BatchGetItem takes 100 keys a call. */
const MAX_KEYS_PER_CALL = 100;
const BACKOFF = { baseMs: 50, maxMs: 5_000 };
const LOG_EVERY_ATTEMPTS = 10;
const DAY_SECONDS = 86_400;

export interface StateStoreDeps {
  dynamodb: DynamoDBJson;
  table: string;
  /** Days after its last write until a state expires; 0: never. */
  ttlDays: number;
  limit: AdaptiveLimit;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** States of series in a DynamoDB table. Calls are tried again with full jitter for as long as it takes. */
export class StateStore {
  readonly #deps: StateStoreDeps;

  constructor(deps: StateStoreDeps) {
    this.#deps = deps;
  }

  /**
   * Reads states, consistently. A series that has none is not in the answer.
   *
   * @throws StoppedError when `signal` aborted; what DynamoDB refuses for good (no such table, no access).
   */
  async load(
    series: readonly string[],
    signal: AbortSignal,
    progress: () => void,
  ): Promise<Map<string, Row>> {
    const rows = new Map<string, Row>();
    const calls: Promise<void>[] = [];
    for (let i = 0; i < series.length; i += MAX_KEYS_PER_CALL) {
      calls.push(this.#loadChunk(series.slice(i, i + MAX_KEYS_PER_CALL), rows, signal, progress));
    }
    await Promise.all(calls);
    return rows;
  }

  async #loadChunk(
    series: readonly string[],
    rows: Map<string, Row>,
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    const { dynamodb, table } = this.#deps;
    for (let asked = series; asked.length > 0; ) {
      const Keys = asked.map((key) => ({ series: { S: key }, part: { S: STATE_PART } }));
      const request = JSON.stringify({ RequestItems: { [table]: { Keys, ConsistentRead: true } } });
      const { found, left } = await this.#retry(
        async () =>
          foundItems(await dynamodb.call('BatchGetItem', request, signal), { table, by: 'series', asked }),
        signal,
        progress,
      );
      for (const [key, wire] of found) rows.set(key, rowFrom(wire));
      if (left.length === asked.length) await this.#pause(0, signal);
      asked = left;
    }
  }

  /**
   * Writes a state unless the table has one that includes as much, by a watermark that is one: so a worker that lost its shard without knowing
   * it yet moves nothing back, and a write whose answer was lost may be made again.
   *
   * @param attributes name to JSON text; other attributes of the item stay.
   * @returns false when the table's state includes records that this one doesn't: it belongs to another worker now.
   * @throws StoppedError when `signal` aborted; what DynamoDB refuses for good.
   */
  async save(
    { series, watermark, arrivedAt, hasMinute, unusableWatermark }: SourceState,
    attributes: ReadonlyMap<string, string>,
    signal: AbortSignal,
    progress: () => void,
  ): Promise<boolean> {
    const { dynamodb, table, clock, ttlDays } = this.#deps;
    const names: string[] = ['"#w":"watermark"'];
    const values: string[] = [`":w":{"S":"${watermark}"}`];
    const sets: string[] = ['#w=:w'];
    for (const [name, json] of attributes) {
      const n = names.length;
      names.push(`"#${n}":${JSON.stringify(name)}`);
      values.push(`":${n}":${json}`);
      sets.push(`#${n}=:${n}`);
    }
    names.push(`"#e":"${EXPIRES_AT}"`);
    let remove = '';
    // The minute that is open has no item of its own: with the state it would be lost.
    if (ttlDays === 0 || hasMinute) {
      remove = ' REMOVE #e';
    } else {
      // By Kinesis's clock too: with ours years behind, the states of busy sources would be deleted.
      const writtenAt = Math.max(clock.now(), arrivedAt);
      values.push(`":e":{"N":"${Math.floor(writtenAt / 1000) + ttlDays * DAY_SECONDS}"}`);
      sets.push('#e=:e');
    }
    let condition = 'attribute_not_exists(#w) OR #w<=:w';
    if (unusableWatermark !== undefined) {
      values.push(`":u":${unusableWatermark}`);
      condition += ' OR #w=:u';
    }
    const body =
      `{"TableName":"${table}","Key":{"series":{"S":${JSON.stringify(series)}},"part":{"S":"${STATE_PART}"}},` +
      `"UpdateExpression":"SET ${sets.join()}${remove}","ConditionExpression":"${condition}",` +
      `"ExpressionAttributeNames":{${names.join()}},"ExpressionAttributeValues":{${values.join()}}}`;
    try {
      await this.#retry(
        async () => checkUpdated(await dynamodb.call('UpdateItem', body, signal)),
        signal,
        progress,
      );
      return true;
    } catch (error) {
      if (error instanceof Error && error.name === 'ConditionalCheckFailedException') return false;
      throw error;
    }
  }

  async #retry<T>(call: () => Promise<T>, signal: AbortSignal, progress: () => void): Promise<T> {
    const { limit, metrics, log, table } = this.#deps;
    for (let attempt = 0; ; attempt++) {
      if (signal.aborted) throw new StoppedError();
      const result = await limit.run(
        () =>
          call().then(
            (answer) => ({ answer, throttled: false }),
            (error: unknown) => ({ error, throttled: isThrottle(error) }),
          ),
        progress,
      );
      if ('answer' in result) return result.answer;
      if (signal.aborted) throw new StoppedError();
      if (!isRetryable(result.error)) throw result.error;
      metrics.stateRetries.inc({ reason: result.throttled ? 'throttled' : 'error' });
      const details = { err: result.error, table, attempt, code: errorCode(result.error) };
      if (attempt % LOG_EVERY_ATTEMPTS === 0)
        log.warn(details, 'a call to the state table failed and is tried again');
      await this.#pause(attempt, signal);
    }
  }

  #pause(attempt: number, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    return clock.sleep(fullJitter(attempt, BACKOFF, random), signal);
  }
}
