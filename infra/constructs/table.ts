import { RemovalPolicy } from 'aws-cdk-lib';
import {
  type Attribute,
  AttributeType,
  Billing,
  type ProjectionType,
  TableEncryptionV2,
  TableV2,
} from 'aws-cdk-lib/aws-dynamodb';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import type { TableDefinition } from '../../services/shared/tables.ts';

interface TableOptions {
  name: string;
  definition: TableDefinition;
  key: IKey;
  /** Attribute with the time (epoch seconds) at which an item expires. */
  ttlAttribute?: string | undefined;
  replicas?: Environment['records']['replicas'];
  /** Survives its stack, and can't be deleted by a slip. */
  protect: boolean;
}

/** A table on demand, encrypted, with point-in-time recovery; keys and indexes come from `services/shared/tables.ts`. */
export function createTable(scope: Construct, id: string, options: TableOptions): TableV2 {
  const { definition, replicas = [] } = options;
  const keys = (schema: TableDefinition['KeySchema']) => {
    const sort = schema?.find((k) => k.KeyType === 'RANGE');
    return {
      partitionKey: attribute(definition, schema?.find((k) => k.KeyType === 'HASH')?.AttributeName),
      ...(sort ? { sortKey: attribute(definition, sort.AttributeName) } : {}),
    };
  };
  return new TableV2(scope, id, {
    tableName: options.name,
    ...keys(definition.KeySchema),
    globalSecondaryIndexes: (definition.GlobalSecondaryIndexes ?? []).map((index) => ({
      indexName: index.IndexName as string,
      ...keys(index.KeySchema),
      projectionType: index.Projection?.ProjectionType as ProjectionType,
    })),
    billing: Billing.onDemand(),
    encryption: TableEncryptionV2.customerManagedKey(
      options.key,
      Object.fromEntries(replicas.map(({ region, keyArn }) => [region, keyArn])),
    ),
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    replicas: replicas.map(({ region }) => ({ region })),
    ...(options.ttlAttribute ? { timeToLiveAttribute: options.ttlAttribute } : {}),
    deletionProtection: options.protect,
    removalPolicy: options.protect ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
}

const TYPES = { S: AttributeType.STRING, N: AttributeType.NUMBER, B: AttributeType.BINARY };

function attribute(definition: TableDefinition, name: string | undefined): Attribute {
  const found = definition.AttributeDefinitions?.find((a) => a.AttributeName === name);
  if (!found?.AttributeName || !found.AttributeType)
    throw new Error(`services/shared/tables.ts: key ${name} has no attribute definition`);
  return { name: found.AttributeName, type: TYPES[found.AttributeType] };
}
