import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb';

/** Name of the sparse index of the records table that holds anomalies only. */
const ANOMALIES_INDEX = 'anomalies';

/** The tables' keys and indexes: one definition for the embedded stack, the tests and the infrastructure. */
type TableDefinition = Omit<CreateTableCommandInput, 'TableName' | 'BillingMode'>;

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
