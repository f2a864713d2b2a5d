import { AwsJsonError } from '../../shared/aws-json.ts';
import type { WireRow } from './wire.ts';

/**
 * Reads what DynamoDB answers with status 200. A proxy that is broken, or that wants a login first, answers so too: taken
 * for "all is stored" or "there is no such item", its page would lose records and states. So each answer must have what
 * the API says that it always has (AWS, DynamoDB Local, dynalite and ScyllaDB since 4.0 do: scylladb/scylladb#6569).
 * Else it is an error that `isRetryable`.
 */

/** Longest part of an answer in an error's message. */
const EXCERPT_LENGTH = 60;

/** DynamoDB's answer when it took all. */
const NOTHING_UNPROCESSED = '{"UnprocessedItems":{}}';
const NOTHING_TO_SAY = '{}';
const UPDATE_ITEM_SAYS = new Set(['Attributes', 'ConsumedCapacity', 'ItemCollectionMetrics']);

type Fields = Readonly<Record<string, unknown>>;

/**
 * BatchWriteItem: the requests that were not carried out, of all tables.
 *
 * @throws AwsJsonError `UnexpectedAnswer`
 */
export function unprocessedItems(answer: string): unknown[] {
  // Nearly every answer; parsing it tells nothing more.
  if (answer === NOTHING_UNPROCESSED) return [];
  const left = fieldsOf(fieldsOf(parsed(answer))?.UnprocessedItems);
  if (!left) throw unexpected('BatchWriteItem', answer);
  return Object.values(left).flat();
}

/**
 * BatchGetItem: the items that were found, and those of `asked` to ask for again. What is in neither doesn't exist.
 *
 * @param asked by the one attribute `by` of their keys, a string.
 * @throws AwsJsonError `UnexpectedAnswer`; also when the answer has an item that wasn't asked for.
 */
export function foundItems(
  answer: string,
  { table, by, asked }: { table: string; by: string; asked: readonly string[] },
): { found: Map<string, WireRow>; left: string[] } {
  const fields = fieldsOf(parsed(answer));
  const unprocessed = fieldsOf(fields?.UnprocessedKeys);
  if (!unprocessed) throw unexpected('BatchGetItem', answer);
  const open = new Set(asked);
  /** Of each item once, and of no other. */
  const take = (item: unknown): string => {
    const name = (item as { [by: string]: { S?: unknown } | undefined } | null)?.[by]?.S;
    if (typeof name !== 'string' || !open.delete(name)) throw unexpected('BatchGetItem', answer);
    return name;
  };
  const listOf = (value: unknown): unknown[] => {
    if (!Array.isArray(value)) throw unexpected('BatchGetItem', answer);
    return value;
  };
  const withheld = unprocessed[table];
  const left = withheld === undefined ? [] : listOf(fieldsOf(withheld)?.Keys).map(take);
  // A table that has none of the items answers with an empty list; one that could not look, maybe with none.
  const rows = listOf(fieldsOf(fields?.Responses)?.[table] ?? (open.size === 0 ? [] : undefined));
  return { found: new Map(rows.map((row) => [take(row), row as WireRow])), left };
}

/**
 * UpdateItem, asked for no values: it says nothing.
 *
 * @throws AwsJsonError `UnexpectedAnswer`
 */
export function checkUpdated(answer: string): void {
  if (answer === NOTHING_TO_SAY) return;
  const fields = fieldsOf(parsed(answer));
  if (!fields || Object.keys(fields).some((name) => !UPDATE_ITEM_SAYS.has(name)))
    throw unexpected('UpdateItem', answer);
}

function parsed(answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch {
    return undefined; // a page, or half an answer
  }
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function unexpected(operation: string, answer: string): AwsJsonError {
  return new AwsJsonError(
    'UnexpectedAnswer',
    `${operation} was answered with status 200 by what is not DynamoDB's answer: ` +
      `${JSON.stringify(answer.slice(0, EXCERPT_LENGTH))}. Look for a proxy between here and DynamoDB`,
    200,
  );
}
