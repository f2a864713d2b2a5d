import { type DynamoDBClient, GetItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb';
import pLimit from 'p-limit';
import { WeirError } from '../shared/errors.ts';
import type { ConsoleMetrics, ReadingName } from './metrics.ts';
import { type Anomaly, type Found, readAnomalies } from './reads/anomalies.ts';
import { plainRow } from './reads/plain.ts';

/** Around an anomaly, to each side, in ms. */
const AROUND_MS = 30 * 60_000;
/** Pages of the anomalies index to each side; a page is 1 MB at most. */
const PAGES_A_SIDE = 2;
const POINTS_A_SIDE = 200;
/** How far back a search for a source goes, in ms, and in how many pages. */
const SEARCH_MS = 2 * 86_400_000;
const SEARCH_PAGES = 5;
const SEARCH_LIMIT = 100;
const CONCURRENT = 2;
const MAX_WAITING = 20;
const TIMEOUT_MS = 10_000;

/** What one minute of a source came to. */
interface Minute {
  /** ISO 8601 to the minute. */
  minute: string;
  count: number;
  mean: number;
  min: number;
  max: number;
  anomalies: number;
}

export interface SourceView {
  source: string;
  /** The time that was asked for, and what was read around it, ISO 8601. */
  at: string;
  from: string;
  to: string;
  /** Oldest first. */
  anomalies: Anomaly[];
  /** Empty where no rollups are kept: with `STORE=all`, or of a source that several shards have. */
  minutes: Minute[];
}

/** What is read when somebody asks. Two at a time, so that a page can't make the console read without end. */
export class Lookups {
  readonly #dynamodb: DynamoDBClient;
  readonly #tables: { records: string; state: string };
  readonly #metrics: ConsoleMetrics;
  readonly #limit = pLimit(CONCURRENT);

  constructor(dynamodb: DynamoDBClient, tables: { records: string; state: string }, metrics: ConsoleMetrics) {
    this.#dynamodb = dynamodb;
    this.#tables = tables;
    this.#metrics = metrics;
  }

  /** The item of the records table, whole; `undefined` when there is none. One GetItem. */
  record(id: string): Promise<Record<string, unknown> | undefined> {
    return this.#read('record', async (abortSignal) => {
      const { Item } = await this.#dynamodb.send(
        new GetItemCommand({ TableName: this.#tables.records, Key: { id: { S: id } } }),
        { abortSignal },
      );
      return Item && plainRow(Item);
    });
  }

  /**
   * A source around a time: its anomalies, and its minutes where rollups are kept. Normal events can't be had: the
   * records table has no index by source. At most 4 pages of the index and one of the state table, 5 MB.
   *
   * @param at ms since the epoch.
   */
  source(source: string, at: number): Promise<SourceView> {
    return this.#read('source', async (signal) => {
      const [from, middle, to] = [at - AROUND_MS, at, at + AROUND_MS].map((ms) => new Date(ms).toISOString());
      const side = (order: 'newest' | 'oldest', from = '', to = '') =>
        this.#anomalies({ from, to, order, source, limit: POINTS_A_SIDE, pages: PAGES_A_SIDE }, signal);
      const [before, after, minutes] = await Promise.all([
        side('newest', from, middle),
        side('oldest', new Date(at + 1).toISOString(), to),
        this.#minutes(source, from, to, signal),
      ]);
      return {
        source,
        at: middle ?? '',
        from: before.stoppedAt ?? from ?? '',
        to: after.stoppedAt ?? to ?? '',
        anomalies: [...before.anomalies.reverse(), ...after.anomalies],
        minutes,
      };
    });
  }

  /** A source's anomalies before a time, newest first, two days back at most. At most 5 pages of the index, 5 MB. */
  search(source: string, before: number): Promise<Found & { from: string }> {
    return this.#read('search', async (signal) => {
      const from = new Date(before - SEARCH_MS).toISOString();
      const to = new Date(before).toISOString();
      const found = await this.#anomalies(
        { from, to, order: 'newest', source, limit: SEARCH_LIMIT, pages: SEARCH_PAGES },
        signal,
      );
      return { ...found, from };
    });
  }

  #anomalies(stretch: Parameters<typeof readAnomalies>[2], signal: AbortSignal): Promise<Found> {
    return readAnomalies(this.#dynamodb, this.#tables.records, stretch, signal);
  }

  async #minutes(source: string, from = '', to = '', abortSignal?: AbortSignal): Promise<Minute[]> {
    const { Items = [] } = await this.#dynamodb.send(
      new QueryCommand({
        TableName: this.#tables.state,
        KeyConditionExpression: 'series = :series AND part BETWEEN :from AND :to',
        ExpressionAttributeValues: {
          ':series': { S: source },
          ':from': { S: `minute#${from.slice(0, 16)}` },
          ':to': { S: `minute#${to.slice(0, 16)}Z` },
        },
      }),
      abortSignal ? { abortSignal } : {},
    );
    return Items.map((item) => {
      const number = (name: string) => Number(item[name]?.N ?? item[name]?.S ?? 0);
      const count = number('count');
      return {
        minute: item.minute?.S ?? '',
        count,
        mean: count > 0 ? number('sum') / count : 0,
        min: number('min'),
        max: number('max'),
        anomalies: number('anomalies'),
      };
    });
  }

  async #read<T>(reading: ReadingName, read: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#limit.pendingCount >= MAX_WAITING)
      throw new WeirError('busy', 'too many ask at once', { retryable: true });
    try {
      const found = await this.#limit(() => read(AbortSignal.timeout(TIMEOUT_MS)));
      this.#metrics.reads.inc({ reading, outcome: 'done' });
      return found;
    } catch (error) {
      this.#metrics.reads.inc({ reading, outcome: 'failed' });
      throw error;
    }
  }
}
