import { isDeepStrictEqual } from 'node:util';
import { type AttributeValue, type DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import type { DemoEvent } from './dataset.ts';
import type { Receipt } from './replay.ts';

/** The highest score the threshold detector gives. */
const MAX_SCORE = 2;
/** Fields that the producer adds and that come back in the payload. */
const ADDED = ['ingestion_timestamp', 'source_ip'];
const MAX_EXAMPLES = 5;

export type Item = Record<string, unknown>;

/** What was sent and what came of it, to be compared. */
export interface Evidence {
  events: readonly DemoEvent[];
  /** In the order of the events. */
  receipts: readonly Receipt[];
  items: readonly Item[];
  deadLetters: number;
  threshold: number;
}

interface Verdict {
  ok: boolean;
  stored: number;
  anomalies: number;
  expectedAnomalies: number;
  /** Most anomalies first. */
  anomaliesBySource: { source: string; anomalies: number }[];
  /** What is wrong, with the first examples of each kind; empty when all is well. */
  problems: string[];
}

/** All items of a table. */
export async function scan(dynamodb: DynamoDBClient, table: string): Promise<Item[]> {
  const items: Item[] = [];
  for await (const page of paginateScan({ client: dynamodb }, { TableName: table, ConsistentRead: true })) {
    for (const item of page.Items ?? []) items.push(unmarshall(item as Record<string, AttributeValue>));
  }
  return items;
}

/**
 * Compares the records table with the events that were sent, by a computation of its own: nothing of the
 * pipeline is used, so a mistake there is not made again here.
 */
export function verify({ events, receipts, items, deadLetters, threshold }: Evidence): Verdict {
  const problems = new Problems();
  const byId = new Map(items.map((item) => [item.id, item]));
  const lastSequence = new Map<string, bigint>();
  if (byId.size !== items.length) problems.add('stored more than once', `${items.length - byId.size} items`);
  if (deadLetters > 0) problems.add('in the dead letters', `${deadLetters} items`);
  if (receipts.length !== events.length)
    problems.add('not sent', `${events.length - receipts.length} events`);
  for (const [i, receipt] of receipts.entries()) {
    const event = events[i];
    const item = byId.get(receipt.requestId);
    if (!event) break;
    if (!item) {
      problems.add('lost', describe(event));
      continue;
    }
    byId.delete(receipt.requestId);
    compare(event, item, threshold, problems);
    const sequence = BigInt((item.kinesis_metadata as { sequence_number: string }).sequence_number);
    if (sequence < (lastSequence.get(event.source) ?? 0n))
      problems.add('out of order within its source', describe(event));
    lastSequence.set(event.source, sequence);
  }
  for (const id of byId.keys()) problems.add('in the table, but nobody sent it', String(id));
  const anomalous = items.filter((item) => item.is_anomaly === true);
  const expectedAnomalies = events.filter((event) => event.amount > threshold).length;
  if (anomalous.length !== expectedAnomalies) {
    problems.add('anomaly count', `${anomalous.length} in the table, ${expectedAnomalies} in the data`);
  }
  return {
    ok: problems.list.length === 0,
    stored: items.length,
    anomalies: anomalous.length,
    expectedAnomalies,
    anomaliesBySource: countBySource(anomalous),
    problems: problems.list,
  };
}

function compare(event: DemoEvent, item: Item, threshold: number, problems: Problems): void {
  const { source, amount, timestamp, ...rest } = event;
  const score = Math.min(amount / threshold, MAX_SCORE);
  const { anomaly_score: found, is_anomaly: anomaly } = item as {
    anomaly_score: number;
    is_anomaly: boolean;
  };
  if (Math.abs(found - score) > 1e-9 || anomaly !== amount > threshold) {
    problems.add('scored wrongly', `${describe(event)}: score ${found}, expected ${score}`);
  }
  const payload = Object.entries(item.payload as Item).filter(([key]) => !ADDED.includes(key));
  const kept = JSON.parse(JSON.stringify(rest)) as unknown;
  const same =
    item.source === source &&
    item.amount === amount &&
    (timestamp === undefined || item.timestamp === timestamp) &&
    isDeepStrictEqual(Object.fromEntries(payload), kept);
  if (!same) problems.add('changed on its way', describe(event));
}

function countBySource(items: readonly Item[]): { source: string; anomalies: number }[] {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(String(item.source), (counts.get(String(item.source)) ?? 0) + 1);
  return Array.from(counts, ([source, anomalies]) => ({ source, anomalies })).sort(
    (a, b) => b.anomalies - a.anomalies || a.source.localeCompare(b.source),
  );
}

function describe({ source, amount, timestamp }: DemoEvent): string {
  return `${source} ${amount} ${timestamp ?? ''}`.trim();
}

/** Problems by kind: how many, and the first few. */
class Problems {
  readonly #kinds = new Map<string, string[]>();
  readonly #counts = new Map<string, number>();

  add(kind: string, example: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    const examples = this.#kinds.get(kind) ?? [];
    if (examples.length < MAX_EXAMPLES) this.#kinds.set(kind, [...examples, example]);
  }

  get list(): string[] {
    return Array.from(
      this.#kinds,
      ([kind, examples]) => `${this.#counts.get(kind)} × ${kind}: ${examples.join('; ')}`,
    );
  }
}
