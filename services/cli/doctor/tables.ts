import {
  DescribeTableCommand,
  type DynamoDBClient,
  type KeySchemaElement,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import {
  DEAD_LETTER_TABLE,
  LEASE_TABLE,
  RECORDS_TABLE,
  STATE_TABLE,
  type TableDefinition,
} from '../../shared/tables.ts';
import type { Target } from '../target.ts';
import { type Check, callFailed, ok, problem, warning } from './check.ts';

/** The tables with what they have to look like. */
export function tablesOf(target: Target): { what: string; name: string; definition: TableDefinition }[] {
  return [
    { what: 'records table', name: target.recordsTable, definition: RECORDS_TABLE },
    { what: 'lease table', name: target.leaseTable, definition: LEASE_TABLE },
    { what: 'state table', name: target.stateTable, definition: STATE_TABLE },
    { what: 'dead-letter table', name: target.deadLetterTable, definition: DEAD_LETTER_TABLE },
  ];
}

/** Is it there, and does it have the keys and indexes that services count on? */
export async function checkTable(
  client: DynamoDBClient,
  { what, name, definition }: ReturnType<typeof tablesOf>[number],
): Promise<Check> {
  try {
    const { Table } = await client.send(new DescribeTableCommand({ TableName: name }));
    if (keysOf(Table?.KeySchema) !== keysOf(definition.KeySchema)) {
      return problem(
        what,
        `${name} has the keys ${keysOf(Table?.KeySchema)}, needed are ${keysOf(definition.KeySchema)}`,
        'it is another kind of table: check its name',
      );
    }
    const indexes = new Set(Table?.GlobalSecondaryIndexes?.map(({ IndexName }) => IndexName));
    const missing = definition.GlobalSecondaryIndexes?.find(({ IndexName }) => !indexes.has(IndexName));
    if (missing)
      return problem(
        what,
        `${name} lacks the index ${missing.IndexName}`,
        'add it: services/shared/tables.ts',
      );
    if (Table?.TableStatus !== 'ACTIVE')
      return warning(what, `${name} is ${Table?.TableStatus}`, 'wait until it is ACTIVE');
    return ok(what, `${name}, ${Table.ItemCount ?? 0} items at the last count`);
  } catch (error) {
    return callFailed(what, 'dynamodb:DescribeTable', name, error);
  }
}

/**
 * May items be written? Asked by an update that can't happen, since its condition wants an item that isn't there: who
 * may not write is refused before the condition is looked at.
 */
export async function checkWrite(
  client: DynamoDBClient,
  { what, name, definition }: ReturnType<typeof tablesOf>[number],
): Promise<Check> {
  const check = `write to the ${what}`;
  const [key = ''] = (definition.KeySchema ?? []).map(({ AttributeName }) => AttributeName);
  const Key = Object.fromEntries(
    (definition.KeySchema ?? []).map(({ AttributeName = '' }) => {
      const type = definition.AttributeDefinitions?.find((a) => a.AttributeName === AttributeName);
      return [AttributeName, type?.AttributeType === 'N' ? { N: '0' } : { S: 'weir-doctor' }];
    }),
  );
  try {
    await client.send(
      new UpdateItemCommand({
        TableName: name,
        Key,
        UpdateExpression: 'SET weirDoctor = :never',
        ConditionExpression: 'attribute_exists(#key)',
        ExpressionAttributeNames: { '#key': key },
        ExpressionAttributeValues: { ':never': { BOOL: true } },
      }),
    );
    return ok(check, `${name}: permitted`);
  } catch (error) {
    if (error instanceof Error && error.name === 'ConditionalCheckFailedException')
      return ok(check, `${name}: permitted`);
    return callFailed(check, 'dynamodb:UpdateItem', name, error);
  }
}

function keysOf(keys: readonly KeySchemaElement[] | undefined): string {
  return (keys ?? []).map(({ AttributeName }) => AttributeName).join(', ');
}
