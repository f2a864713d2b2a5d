import { expect } from 'vitest';
import { consumerGroups } from '../../../cdk8s/environments/names.ts';
import {
  DEAD_LETTER_TABLE,
  EXPIRES_AT,
  LEASE_TABLE,
  RECORDS_TABLE,
  STATE_TABLE,
  type TableDefinition,
  tableNames,
} from '../../../services/shared/tables.ts';
import { type CfnTemplate, ofType } from '../templates.ts';
import type { Promised } from './promised.ts';

const TABLE = 'AWS::DynamoDB::GlobalTable';
const isKey = { 'Fn::GetAtt': [expect.stringMatching(/^Key/), 'Arn'] };

function sameKeys(template: CfnTemplate, name: string, definition: TableDefinition): void {
  const table = ofType(template, TABLE).find((t) => t.Properties.TableName === name);
  expect(table, `no table ${name}`).toBeDefined();
  expect(table?.Properties).toMatchObject({
    KeySchema: definition.KeySchema,
    AttributeDefinitions: definition.AttributeDefinitions,
  });
  expect(table?.Properties.GlobalSecondaryIndexes).toEqual(definition.GlobalSecondaryIndexes);
}

/** The stream, the tables, the key, the bucket and the secret. */
export const DATA_PROMISES: readonly Promised[] = [
  {
    says: "the environment's key rotates, and can be replicated",
    part: 'data',
    check: (t) =>
      expect(ofType(t, 'AWS::KMS::Key').map((k) => k.Properties)).toMatchObject([
        { EnableKeyRotation: true, MultiRegion: true, PendingWindowInDays: 30 },
      ]),
  },
  {
    says: 'the stream is encrypted with that key',
    part: 'data',
    check: (t) =>
      expect(ofType(t, 'AWS::Kinesis::Stream').map((s) => s.Properties)).toMatchObject([
        { StreamEncryption: { EncryptionType: 'KMS', KeyId: isKey } },
      ]),
  },
  {
    says: 'the stream has the name, mode, shards, retention and metrics of its environment',
    part: 'data',
    check: (t, env) => {
      const { mode } = env.stream;
      expect(ofType(t, 'AWS::Kinesis::Stream').map((s) => s.Properties)).toMatchObject([
        {
          Name: env.stream.name,
          RetentionPeriodHours: env.stream.retentionHours,
          StreamModeDetails: { StreamMode: mode.kind === 'provisioned' ? 'PROVISIONED' : 'ON_DEMAND' },
          DesiredShardLevelMetrics: env.stream.shardMetrics,
          ...(mode.kind === 'provisioned' ? { ShardCount: mode.shards } : {}),
        },
      ]);
    },
  },
  {
    says: 'each table is encrypted with that key, in each region with the replica of it there',
    part: 'data',
    check: (t, env) => {
      for (const { Properties } of ofType(t, TABLE)) {
        expect(Properties.SSESpecification).toEqual({ SSEEnabled: true, SSEType: 'KMS' });
        for (const replica of Properties.Replicas) {
          const there = env.records.replicas.find(({ region }) => region === replica.Region);
          expect(replica.SSESpecification).toEqual({ KMSMasterKeyId: there?.keyArn ?? isKey });
        }
      }
    },
  },
  {
    says: 'each table can be restored to any second, in each region',
    part: 'data',
    check: (t) => {
      for (const { Properties } of ofType(t, TABLE)) {
        for (const replica of Properties.Replicas)
          expect(replica.PointInTimeRecoverySpecification).toEqual({ PointInTimeRecoveryEnabled: true });
      }
    },
  },
  {
    says: 'protected data survives its stack and a slip; unprotected data leaves nothing behind',
    part: 'data',
    check: (t, env) => {
      const policy = env.protectData ? 'Retain' : 'Delete';
      for (const type of [
        TABLE,
        'AWS::Kinesis::Stream',
        'AWS::KMS::Key',
        'AWS::S3::Bucket',
        'AWS::SecretsManager::Secret',
      ]) {
        for (const resource of ofType(t, type)) {
          expect(resource).toMatchObject({ DeletionPolicy: policy, UpdateReplacePolicy: policy });
        }
      }
      for (const { Properties } of ofType(t, TABLE)) {
        for (const replica of Properties.Replicas)
          expect(replica.DeletionProtectionEnabled).toBe(env.protectData);
      }
    },
  },
  {
    says: 'keys and indexes of the tables are those of services/shared/tables.ts',
    part: 'data',
    check: (t, env) => {
      for (const group of consumerGroups(env)) {
        const names = tableNames(group);
        sameKeys(t, names.state, STATE_TABLE);
        if (env.records.replicaKeyArn === undefined) {
          sameKeys(t, names.records, RECORDS_TABLE);
          sameKeys(t, names.deadLetters, DEAD_LETTER_TABLE);
        }
        if (group === env.consumers.pods?.group) sameKeys(t, names.leases, LEASE_TABLE);
      }
    },
  },
  {
    says: 'records and dead letters have their replicas, or are replicas made elsewhere; leases and states have none',
    part: 'data',
    check: (t, env) => {
      const all = [env.region, ...env.records.replicas.map(({ region }) => region)].sort();
      for (const group of consumerGroups(env)) {
        const names = tableNames(group);
        const made = ofType(t, TABLE).map(({ Properties }) => Properties.TableName);
        for (const table of [names.records, names.deadLetters])
          expect(made.includes(table), table).toBe(env.records.replicaKeyArn === undefined);
        for (const { Properties } of ofType(t, TABLE)) {
          const regions = Properties.Replicas.map((r: { Region: string }) => r.Region).sort();
          if (Properties.TableName === names.records || Properties.TableName === names.deadLetters)
            expect(regions).toEqual(all);
          if ([names.leases, names.state].includes(Properties.TableName))
            expect(regions).toEqual([env.region]);
        }
      }
    },
  },
  {
    says: 'records expire exactly where their environment says so',
    part: 'data',
    check: (t, env) => {
      for (const group of consumerGroups(env)) {
        const records = ofType(t, TABLE).find((x) => x.Properties.TableName === tableNames(group).records);
        expect(records?.Properties.TimeToLiveSpecification).toEqual(
          env.records.ttlDays ? { AttributeName: EXPIRES_AT, Enabled: true } : undefined,
        );
      }
    },
  },
  {
    says: 'states of silent sources expire, leases and dead letters never do',
    part: 'data',
    check: (t, env) => {
      for (const group of consumerGroups(env)) {
        const names = tableNames(group);
        const expiry = (name: string) =>
          ofType(t, TABLE).find(({ Properties }) => Properties.TableName === name)?.Properties
            .TimeToLiveSpecification;
        expect(expiry(names.state)).toEqual({ AttributeName: EXPIRES_AT, Enabled: true });
        expect(expiry(names.deadLetters)).toBeUndefined();
        expect(expiry(names.leases)).toBeUndefined();
      }
    },
  },
  {
    says: 'the bucket of failed batches is private, encrypted, and reached over TLS only',
    part: 'data',
    check: (t, env) => {
      const buckets = ofType(t, 'AWS::S3::Bucket');
      expect(buckets).toHaveLength(env.consumers.lambda ? 1 : 0);
      for (const { Properties } of buckets) {
        expect(Properties.PublicAccessBlockConfiguration).toEqual({
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        });
        expect(Properties.BucketEncryption.ServerSideEncryptionConfiguration).toMatchObject([
          { ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: isKey } },
        ]);
      }
      const denials = ofType(t, 'AWS::S3::BucketPolicy').flatMap(
        (p) => p.Properties.PolicyDocument.Statement,
      );
      if (buckets.length > 0)
        expect(denials).toContainEqual(
          expect.objectContaining({
            Effect: 'Deny',
            Action: 's3:*',
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          }),
        );
    },
  },
  {
    says: 'API keys lie encrypted with that key',
    part: 'data',
    check: (t) =>
      expect(ofType(t, 'AWS::SecretsManager::Secret').map((s) => s.Properties)).toMatchObject([
        { KmsKeyId: isKey },
      ]),
  },
];
