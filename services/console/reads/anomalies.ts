import { type AttributeValue, type DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb';
import { ANOMALIES_INDEX } from '../../shared/tables.ts';
import { plain } from './plain.ts';

const DAY_MS = 86_400_000;
/** Anomalies that are kept and shown as they come. */
const NEWEST = 100;

/** What a row of the page shows of an anomaly. */
export interface Anomaly {
  id: string;
  source: string;
  /** A number, or the digits of one that JavaScript can't hold. */
  amount: unknown;
  score: unknown;
  method: string;
  /** Arrival in the stream, ISO 8601. */
  at: string;
  shardId: string;
}

type Row = Record<string, AttributeValue>;

/** A stretch of the anomalies index, both ends included, ISO 8601. */
export interface Stretch {
  from: string;
  to: string;
  /** Newest first, or oldest first. */
  order: 'newest' | 'oldest';
  /** Left out: all sources. */
  source?: string | undefined;
  /** Enough anomalies. */
  limit: number;
  /** Enough pages of 1 MB at most. */
  pages: number;
}

export interface Found {
  anomalies: Anomaly[];
  /** Time of arrival up to which the index was read; `undefined` when the whole stretch was. */
  stoppedAt: string | undefined;
}

/** Reads anomalies by time of arrival. Bounded: what lies beyond `pages` pages is left, and said. */
export async function readAnomalies(
  dynamodb: DynamoDBClient,
  table: string,
  { from, to, order, source, limit, pages }: Stretch,
  signal: AbortSignal,
): Promise<Found> {
  const anomalies: Anomaly[] = [];
  const days = daysOf(from, to);
  if (order === 'newest') days.reverse();
  let left = pages;
  for (const [i, day] of days.entries()) {
    let start: Row | undefined;
    do {
      const answer = await dynamodb.send(
        new QueryCommand({
          TableName: table,
          IndexName: ANOMALIES_INDEX,
          KeyConditionExpression: 'anomaly_day = :day AND anomaly_time BETWEEN :from AND :to',
          ...(source === undefined
            ? { Limit: limit - anomalies.length }
            : { FilterExpression: '#source = :source' }),
          ProjectionExpression:
            'id, #source, amount, anomaly_score, detection_method, anomaly_time, kinesis_metadata.shard_id',
          ExpressionAttributeNames: { '#source': 'source' },
          ExpressionAttributeValues: {
            ':day': { S: day },
            ':from': { S: from },
            ':to': { S: to },
            ...(source === undefined ? {} : { ':source': { S: source } }),
          },
          ScanIndexForward: order === 'oldest',
          ...(start ? { ExclusiveStartKey: start } : {}),
        }),
        { abortSignal: signal },
      );
      for (const item of answer.Items ?? []) anomalies.push(toAnomaly(item));
      start = answer.LastEvaluatedKey;
      left--;
      const more = start !== undefined || i < days.length - 1;
      if (anomalies.length > limit || (more && (left <= 0 || anomalies.length === limit))) {
        const kept = anomalies.slice(0, limit);
        const end = `${day}T${order === 'newest' ? '00:00:00.000' : '23:59:59.999'}Z`;
        return {
          anomalies: kept,
          stoppedAt: anomalies.length > limit ? kept.at(-1)?.at : (start?.anomaly_time?.S ?? end),
        };
      }
    } while (start);
  }
  return { anomalies, stoppedAt: undefined };
}

/** The newest anomalies of today and yesterday (UTC), newest first. */
export async function readNewest(
  dynamodb: DynamoDBClient,
  table: string,
  now: number,
  signal: AbortSignal,
): Promise<Anomaly[]> {
  const from = `${new Date(now - DAY_MS).toISOString().slice(0, 10)}T00:00:00.000Z`;
  // A clock of Kinesis may be ahead of ours.
  const to = new Date(now + 60_000).toISOString();
  const { anomalies } = await readAnomalies(
    dynamodb,
    table,
    { from, to, order: 'newest', limit: NEWEST, pages: 3 },
    signal,
  );
  return anomalies;
}

/** The UTC days from one time to another, oldest first. */
function daysOf(from: string, to: string): string[] {
  const days: string[] = [];
  for (let at = Date.parse(from.slice(0, 10)); at <= Date.parse(to); at += DAY_MS)
    days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

function toAnomaly(item: Row): Anomaly {
  return {
    id: item.id?.S ?? '',
    source: item.source?.S ?? '',
    amount: item.amount ? plain(item.amount) : null,
    score: item.anomaly_score ? plain(item.anomaly_score) : null,
    method: item.detection_method?.S ?? '',
    at: item.anomaly_time?.S ?? '',
    shardId: item.kinesis_metadata?.M?.shard_id?.S ?? '',
  };
}
