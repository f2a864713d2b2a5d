import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { consumerGroups } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import {
  DEAD_LETTER_TABLE,
  EXPIRES_AT,
  LEASE_TABLE,
  RECORDS_TABLE,
  STATE_TABLE,
  type TableDefinition,
  tableNames,
} from '../../services/shared/tables.ts';
import { type CfnTemplate, ofType } from './templates.ts';

/** What the infrastructure promises: one check each, so that a broken promise has one name. */
export interface Promised {
  says: string;
  /** Part of the stack's name it is kept in: `weir-<environment>-<part>`, or `registry`. */
  part: 'data' | 'registry' | 'lambda' | 'access' | 'observability' | 'network';
  /** Throws when it isn't kept. `env` is the first environment for the registry, which has none. */
  check: (template: CfnTemplate, env: Environment) => void;
}

const TABLE = 'AWS::DynamoDB::GlobalTable';
const isKey = { 'Fn::GetAtt': [expect.stringMatching(/^Key/), 'Arn'] };

/** Every statement of every identity policy of a template. */
function statements(template: CfnTemplate): Statement[] {
  return ofType(template, 'AWS::IAM::Policy').flatMap((p) => p.Properties.PolicyDocument.Statement);
}
export interface Statement {
  Sid?: string;
  Action: string | string[];
  Resource: unknown;
  Condition?: unknown;
}
export const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);

/** The only actions that may be on all resources: they take none. */
const WITHOUT_RESOURCE = new Set([
  'ecr:GetAuthorizationToken',
  'xray:PutTelemetryRecords',
  'cloudwatch:GetMetricData',
  'xray:PutTraceSegments',
  'ec2:CreateNetworkInterface',
  'ec2:DeleteNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
]);

function singleActions(template: CfnTemplate): void {
  expect(ofType(template, 'AWS::IAM::ManagedPolicy')).toEqual([]);
  for (const role of ofType(template, 'AWS::IAM::Role')) {
    expect(role.Properties.ManagedPolicyArns ?? []).toEqual([]);
    expect(role.Properties.Policies ?? []).toEqual([]);
  }
  for (const { Action, Resource } of statements(template)) {
    const actions = list(Action);
    expect(actions.filter((action) => action.includes('*'))).toEqual([]);
    if (list(Resource).includes('*'))
      expect(actions.filter((action) => !WITHOUT_RESOURCE.has(action))).toEqual([]);
  }
}

function sameKeys(template: CfnTemplate, name: string, definition: TableDefinition): void {
  const table = ofType(template, TABLE).find((t) => t.Properties.TableName === name);
  expect(table, `no table ${name}`).toBeDefined();
  expect(table?.Properties).toMatchObject({
    KeySchema: definition.KeySchema,
    AttributeDefinitions: definition.AttributeDefinitions,
  });
  expect(table?.Properties.GlobalSecondaryIndexes).toEqual(definition.GlobalSecondaryIndexes);
}

export const PROMISES: readonly Promised[] = [
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
        sameKeys(t, names.records, RECORDS_TABLE);
        sameKeys(t, names.state, STATE_TABLE);
        sameKeys(t, names.deadLetters, DEAD_LETTER_TABLE);
        if (group === env.consumers.pods?.group) sameKeys(t, names.leases, LEASE_TABLE);
      }
    },
  },
  {
    says: 'records and dead letters have their replicas, leases and states have none',
    part: 'data',
    check: (t, env) => {
      const all = [env.region, ...env.records.replicas.map(({ region }) => region)].sort();
      for (const group of consumerGroups(env)) {
        const names = tableNames(group);
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
  {
    says: 'images are scanned on push, their tags never move, they are encrypted',
    part: 'registry',
    check: (t) => {
      const repositories = ofType(t, 'AWS::ECR::Repository');
      expect(repositories.map((r) => r.Properties.RepositoryName)).toEqual([
        'weir/producer',
        'weir/consumer',
        'weir/controller',
      ]);
      for (const { Properties } of repositories)
        expect(Properties).toMatchObject({
          ImageScanningConfiguration: { ScanOnPush: true },
          ImageTagMutability: 'IMMUTABLE',
          EncryptionConfiguration: { EncryptionType: 'KMS' },
        });
    },
  },
  {
    says: 'the last 10 releases are kept, untagged images go after 7 days',
    part: 'registry',
    check: (t) => {
      for (const { Properties } of ofType(t, 'AWS::ECR::Repository')) {
        const { rules } = JSON.parse(Properties.LifecyclePolicy.LifecyclePolicyText);
        expect(rules.map((r: { selection: unknown }) => r.selection)).toEqual([
          { tagStatus: 'untagged', countType: 'sinceImagePushed', countNumber: 7, countUnit: 'days' },
          {
            tagStatus: 'tagged',
            tagPatternList: ['v*'],
            countType: 'imageCountMoreThan',
            countNumber: 10,
          },
        ]);
      }
    },
  },
  {
    says: 'who pushes images may do single actions on single repositories',
    part: 'registry',
    check: singleActions,
  },
  {
    says: "only workflows of the repository's image environment may push",
    part: 'registry',
    check: (t) => onlyGitHub(t, 'weir-images-push', 'repo:weir-dev/weir:environment:images'),
  },
  {
    says: 'the function is as the design says: arm64, Node 24, its memory and time, traced, JSON logs of its own',
    part: 'lambda',
    check: (t, env) => {
      expect(ofType(t, 'AWS::Lambda::Function').map((f) => f.Properties)).toMatchObject([
        {
          Architectures: ['arm64'],
          Runtime: 'nodejs24.x',
          MemorySize: env.consumers.lambda?.memoryMb,
          Timeout: env.consumers.lambda?.timeoutSeconds,
          TracingConfig: { Mode: 'Active' },
          LoggingConfig: { LogFormat: 'JSON', LogGroup: { Ref: expect.stringMatching(/^Logs/) } },
        },
      ]);
      expect(ofType(t, 'AWS::Logs::LogGroup').map((g) => g.Properties)).toMatchObject([
        { RetentionInDays: env.consumers.lambda?.logRetentionDays },
      ]);
    },
  },
  {
    says: 'a failed batch is halved, reported by item, retried within bounds, and then kept',
    part: 'lambda',
    check: (t, env) =>
      expect(ofType(t, 'AWS::Lambda::EventSourceMapping').map((m) => m.Properties)).toMatchObject([
        {
          BisectBatchOnFunctionError: true,
          FunctionResponseTypes: ['ReportBatchItemFailures'],
          MaximumRetryAttempts: env.consumers.lambda?.retryAttempts,
          MaximumRecordAgeInSeconds: env.consumers.lambda?.maxRecordAgeSeconds,
          DestinationConfig: { OnFailure: { Destination: expect.stringMatching(/^arn:aws:s3:::weir-/) } },
        },
      ]),
  },
  {
    says: 'batches are as the design says: from LATEST, 100 records or 5 seconds, two a shard at once',
    part: 'lambda',
    check: (t, env) =>
      expect(ofType(t, 'AWS::Lambda::EventSourceMapping').map((m) => m.Properties)).toMatchObject([
        {
          StartingPosition: 'LATEST',
          BatchSize: env.consumers.lambda?.batchSize,
          MaximumBatchingWindowInSeconds: env.consumers.lambda?.batchWindowSeconds,
          ParallelizationFactor: env.consumers.lambda?.parallelization,
        },
      ]),
  },
  {
    says: "the function's role may do single actions on single resources",
    part: 'lambda',
    check: singleActions,
  },
  { says: 'roles of pods may do single actions on single resources', part: 'access', check: singleActions },
  {
    says: "a pod's role is for one service account in one namespace of one cluster",
    part: 'access',
    check: (t, env) => {
      for (const role of ofType(t, 'AWS::IAM::Role')) {
        const name: string = role.Properties.RoleName;
        if (name.endsWith('-deploy')) continue;
        const service = name.replace(`weir-${env.name}-`, '');
        const [trust, ...more] = role.Properties.AssumeRolePolicyDocument.Statement;
        expect(more).toEqual([]);
        expect(trust.Condition.StringEquals).toEqual(
          env.podCredentials.kind === 'pod-identity'
            ? {
                'aws:SourceAccount': env.account,
                'aws:RequestTag/eks-cluster-arn': `arn:aws:eks:${env.region}:${env.account}:cluster/${env.cluster}`,
                'aws:RequestTag/kubernetes-namespace': env.namespace,
                'aws:RequestTag/kubernetes-service-account': `weir-${service}`,
              }
            : {
                [`${env.podCredentials.oidcProvider}:aud`]: 'sts.amazonaws.com',
                [`${env.podCredentials.oidcProvider}:sub`]: `system:serviceaccount:${env.namespace}:weir-${service}`,
              },
        );
      }
    },
  },
  {
    says: "only workflows of this GitHub environment may deploy, and only as the bootstrap's roles",
    part: 'access',
    check: (t, env) => {
      onlyGitHub(t, `weir-${env.name}-deploy`, `repo:${env.github.repository}:environment:${env.name}`);
      const bootstrap = statements(t).filter((s) => list(s.Action).includes('sts:AssumeRole'));
      expect(bootstrap.map((s) => s.Resource)).toEqual([
        ['deploy', 'file-publishing', 'lookup'].map(
          (role) =>
            `arn:aws:iam::${env.account}:role/cdk-hnb659fds-${role}-role-${env.account}-${env.region}`,
        ),
      ]);
    },
  },
  {
    says: 'each alarm tells somebody and links a runbook that exists',
    part: 'observability',
    check: (t, env) => {
      const alarms = ofType(t, 'AWS::CloudWatch::Alarm');
      expect(alarms.length).toBeGreaterThanOrEqual(4);
      for (const { Properties } of alarms) {
        expect(Properties.AlarmActions).toEqual([{ Ref: expect.stringMatching(/^Alarms/) }]);
        const runbook = /docs\/runbooks\/[a-z-]+\.md$/.exec(Properties.AlarmDescription)?.[0] ?? '';
        expect(existsSync(runbook), `${Properties.AlarmName}: ${runbook} is missing`).toBe(true);
        expect(readFileSync(runbook, 'utf8')).toContain('## What to do');
        expect(Properties.AlarmName).toBe(
          `weir-${env.name}-${runbook.replace(/^docs\/runbooks\/|\.md$/g, '')}`,
        );
      }
    },
  },
  {
    says: 'the topic is encrypted, takes messages over TLS, from this account only',
    part: 'observability',
    check: (t, env) => {
      for (const { Properties } of ofType(t, 'AWS::SNS::Topic'))
        expect(Properties.KmsMasterKeyId).toBeDefined();
      const policies = ofType(t, 'AWS::SNS::TopicPolicy').flatMap(
        (p) => p.Properties.PolicyDocument.Statement,
      );
      expect(policies).toContainEqual(
        expect.objectContaining({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
      );
      for (const statement of policies.filter((s) => s.Effect === 'Allow'))
        expect(statement.Condition).toEqual({ StringEquals: { 'aws:SourceAccount': env.account } });
    },
  },
  {
    says: 'a bill above the budget, or on its way there, tells somebody',
    part: 'observability',
    check: (t, env) =>
      expect(ofType(t, 'AWS::Budgets::Budget').map((b) => b.Properties)).toMatchObject([
        {
          Budget: { BudgetLimit: { Amount: env.alarms.budgetUsd, Unit: 'USD' }, TimeUnit: 'MONTHLY' },
          NotificationsWithSubscribers: [
            { Notification: { NotificationType: 'ACTUAL', Threshold: 80 } },
            { Notification: { NotificationType: 'FORECASTED', Threshold: 100 } },
          ],
        },
      ]),
  },
  {
    says: 'endpoints take HTTPS from the VPC only, and lead to no data of other accounts',
    part: 'network',
    check: (t, env) => {
      for (const { Properties } of ofType(t, 'AWS::EC2::SecurityGroup'))
        expect(Properties.SecurityGroupIngress).toMatchObject([
          { CidrIp: env.network?.cidr, FromPort: 443, ToPort: 443 },
        ]);
      const guarded = ofType(t, 'AWS::EC2::VPCEndpoint').filter((e) => e.Properties.PolicyDocument);
      expect(guarded).toHaveLength(3);
      for (const { Properties } of guarded)
        expect(Properties.PolicyDocument.Statement[0].Condition).toEqual({
          StringEquals: { 'aws:ResourceAccount': env.account },
        });
    },
  },
];

function onlyGitHub(template: CfnTemplate, roleName: string, subject: string): void {
  const role = ofType(template, 'AWS::IAM::Role').find((r) => r.Properties.RoleName === roleName);
  expect(role?.Properties.AssumeRolePolicyDocument.Statement).toMatchObject([
    {
      Action: 'sts:AssumeRoleWithWebIdentity',
      Condition: {
        StringEquals: {
          'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
          'token.actions.githubusercontent.com:sub': subject,
        },
      },
    },
  ]);
}
