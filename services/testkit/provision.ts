import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateTableCommand,
  type DynamoDBClient,
  ResourceInUseException as TableExists,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  ResourceInUseException as StreamExists,
} from '@aws-sdk/client-kinesis';
import { DEAD_LETTER_TABLE, LEASE_TABLE, RECORDS_TABLE, STATE_TABLE } from '../shared/tables.ts';

const ACTIVE_TIMEOUT_MS = 20_000;

/** What a stack of ours needs, by name. */
export interface Resources {
  stream: string;
  shards: number;
  recordsTable: string;
  leaseTable: string;
  stateTable: string;
  deadLetterTable: string;
}

/** Creates stream and tables where they don't exist yet, and waits until all are ACTIVE. For emulators only: the CDK app owns the real ones. */
export async function provision(
  clients: { kinesis: KinesisClient; dynamodb: DynamoDBClient },
  resources: Resources,
): Promise<void> {
  await Promise.all([
    createStream(clients.kinesis, resources.stream, resources.shards),
    createTables(clients.dynamodb, resources),
  ]);
}

const TABLES = {
  recordsTable: RECORDS_TABLE,
  leaseTable: LEASE_TABLE,
  stateTable: STATE_TABLE,
  deadLetterTable: DEAD_LETTER_TABLE,
};

/** Creates those of the tables that are named and don't exist yet, and waits until they are ACTIVE. */
export async function createTables(
  dynamodb: DynamoDBClient,
  names: Partial<Pick<Resources, keyof typeof TABLES>>,
): Promise<void> {
  await Promise.all(
    Object.entries(TABLES).map(async ([key, { timeToLive, ...table }]) => {
      const TableName = names[key as keyof typeof TABLES];
      if (TableName === undefined) return;
      await dynamodb
        .send(new CreateTableCommand({ ...table, TableName, BillingMode: 'PAY_PER_REQUEST' }))
        .catch(unless(TableExists));
      await waitUntilTableExists(
        { client: dynamodb, maxWaitTime: ACTIVE_TIMEOUT_MS / 1000, minDelay: 0.02, maxDelay: 0.5 },
        { TableName },
      );
      if (timeToLive !== undefined) await enableTimeToLive(dynamodb, TableName, timeToLive);
    }),
  );
}

async function enableTimeToLive(
  dynamodb: DynamoDBClient,
  TableName: string,
  AttributeName: string,
): Promise<void> {
  const TimeToLiveSpecification = { AttributeName, Enabled: true };
  await dynamodb
    .send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }))
    .catch((error: unknown) => {
      // dynalite has no TTL; elsewhere it may be enabled already.
      const fine = ['UnknownOperationException', 'ValidationException'];
      if (!(error instanceof Error) || !fine.includes(error.name)) throw error;
    });
}

/** Creates a stream unless it exists, and waits until it is ACTIVE. */
export async function createStream(kinesis: KinesisClient, stream: string, shards: number): Promise<void> {
  await kinesis
    .send(new CreateStreamCommand({ StreamName: stream, ShardCount: shards }))
    .catch(unless(StreamExists));
  await streamActive(kinesis, stream);
}

/** Waits until a stream is ACTIVE, after its creation or a reshard. @throws Error when it is not in 20 s. */
export async function streamActive(kinesis: KinesisClient, stream: string): Promise<void> {
  const deadline = Date.now() + ACTIVE_TIMEOUT_MS;
  for (;;) {
    const { StreamDescriptionSummary } = await kinesis.send(
      new DescribeStreamSummaryCommand({ StreamName: stream }),
    );
    if (StreamDescriptionSummary?.StreamStatus === 'ACTIVE') return;
    if (Date.now() > deadline)
      throw new Error(`stream ${stream} is still ${StreamDescriptionSummary?.StreamStatus}`);
    await sleep(20);
  }
}

function unless(expected: new (...args: never[]) => Error): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof expected)) throw error;
  };
}
