import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb';

/** Name of the sparse index of the records table that holds anomalies only. */
export const ANOMALIES_INDEX = 'anomalies';

/** Attribute of an item with the second (epoch) after which DynamoDB may delete it, where items expire. */
export const EXPIRES_AT = 'expires_at';

/** The tables' keys and indexes: one definition for the embedded stack, the tests and the infrastructure. */
export type TableDefinition = Omit<CreateTableCommandInput, 'TableName' | 'BillingMode'> & {
  /** Attribute by which items expire in every deployment (TTL is no part of CreateTable). */
  timeToLive?: string;
};

/** One item an event, key `id`. Only anomalies carry `anomaly_day` and `anomaly_time`, so the index is sparse. */
export const RECORDS_TABLE: TableDefinition = {
  KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
  AttributeDefinitions: [
    { AttributeName: 'id', AttributeType: 'S' },
    { AttributeName: 'anomaly_day', AttributeType: 'S' },
    { AttributeName: 'anomaly_time', AttributeType: 'S' },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: ANOMALIES_INDEX,
      KeySchema: [
        { AttributeName: 'anomaly_day', KeyType: 'HASH' },
        { AttributeName: 'anomaly_time', KeyType: 'RANGE' },
      ],
      Projection: { ProjectionType: 'ALL' },
    },
  ],
};

/** Keys and index as KCL 3 creates its lease table. */
export const LEASE_TABLE: TableDefinition = {
  KeySchema: [{ AttributeName: 'leaseKey', KeyType: 'HASH' }],
  AttributeDefinitions: [
    { AttributeName: 'leaseKey', AttributeType: 'S' },
    { AttributeName: 'leaseOwner', AttributeType: 'S' },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'LeaseOwnerToLeaseKeyIndex',
      KeySchema: [
        { AttributeName: 'leaseOwner', KeyType: 'HASH' },
        { AttributeName: 'leaseKey', KeyType: 'RANGE' },
      ],
      Projection: { ProjectionType: 'KEYS_ONLY' },
    },
  ],
};

/**
 * What is kept of each series, which is a source as one shard at a time has it: its state (`part` = `state`), and with
 * `STORE=anomalies` one rollup a minute (`part` = `minute#2026-01-02T03:04Z`), so that a series' rollups are a Query. States
 * expire (`STATE_TTL_DAYS`).
 */
export const STATE_TABLE: TableDefinition = {
  timeToLive: EXPIRES_AT,
  KeySchema: [
    { AttributeName: 'series', KeyType: 'HASH' },
    { AttributeName: 'part', KeyType: 'RANGE' },
  ],
  AttributeDefinitions: [
    { AttributeName: 'series', AttributeType: 'S' },
    { AttributeName: 'part', AttributeType: 'S' },
  ],
};

/** A dead letter is one item, chunk 0, and further chunks when its bytes exceed what an item holds. */
export const DEAD_LETTER_TABLE: TableDefinition = {
  KeySchema: [
    { AttributeName: 'id', KeyType: 'HASH' },
    { AttributeName: 'chunk', KeyType: 'RANGE' },
  ],
  AttributeDefinitions: [
    { AttributeName: 'id', AttributeType: 'S' },
    { AttributeName: 'chunk', AttributeType: 'N' },
  ],
};

/** Tables of one consumer group. */
interface TableNames {
  records: string;
  leases: string;
  state: string;
  deadLetters: string;
}

/** A group's name begins the names of its tables, so different groups share none. */
export function tableNames(group: string): TableNames {
  return {
    records: `${group}-records`,
    leases: `${group}-leases`,
    state: `${group}-state`,
    deadLetters: `${group}-dead-letters`,
  };
}
