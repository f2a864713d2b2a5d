import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';
import { describe, expect, it } from 'vitest';
import { prod } from '../cdk8s/environments/prod.ts';
import { staging } from '../cdk8s/environments/staging.ts';
import type { Promised } from './testing/promises/promised.ts';
import { PROMISES } from './testing/promises/promises.ts';
import { type CfnTemplate, ofType, templatesOf, testApp } from './testing/templates.ts';
import { VARIATIONS } from './testing/variations.ts';

const stackOf = (part: Promised['part'], environment: string) =>
  part === 'registry' ? 'weir-registry' : `weir-${environment}-${part}`;

describe.each(Object.entries(VARIATIONS))('infrastructure of: %s', (_, env) => {
  const app = testApp([env]);
  const findings = [new AwsSolutionsChecks(app), new ServerlessChecks(app)]
    .flatMap((pack) => pack.validateScope(app).violations)
    .map(({ ruleName, description }) => `${ruleName}: ${description}`);
  const templates = templatesOf(app);

  // A synthesis fails on errors by itself; here warnings count too.
  it('leaves cdk-nag nothing to say', () => {
    expect(findings).toEqual([]);
  });

  it.each(PROMISES)('$part: $says', ({ part, check }) => {
    const template = templates[stackOf(part, env.name)];
    const expected =
      part === 'lambda' ? env.consumers.lambda : part === 'network' ? env.network?.endpoints : true;
    expect(template !== undefined, `${part} is there or not`).toBe(Boolean(expected));
    if (template) check(template, env);
  });
});

// CloudFormation takes another logical id for another resource: a renamed construct would replace what holds the data.
it('what holds data keeps its logical ids', () => {
  const template = templatesOf(testApp([staging]))['weir-staging-data'] as CfnTemplate;
  const ids = Object.entries(template.Resources)
    .filter(([, { Type }]) => !['AWS::SSM::Parameter', 'AWS::S3::BucketPolicy'].includes(Type))
    .map(([id, { Type }]) => `${Type} ${id}`);
  expect(ids.sort()).toMatchInlineSnapshot(`
    [
      "AWS::DynamoDB::GlobalTable LambdaDeadLetters9B051166",
      "AWS::DynamoDB::GlobalTable LambdaRecords71BFC6A5",
      "AWS::DynamoDB::GlobalTable LambdaState903EC92F",
      "AWS::DynamoDB::GlobalTable PodsDeadLetters03918B20",
      "AWS::DynamoDB::GlobalTable PodsLeases3B809138",
      "AWS::DynamoDB::GlobalTable PodsRecords8762DC2D",
      "AWS::DynamoDB::GlobalTable PodsState7C9C0E0D",
      "AWS::KMS::Alias KeyAlias910D852D",
      "AWS::KMS::Key Key961B73FD",
      "AWS::Kinesis::Stream Stream790BDEE4",
      "AWS::S3::Bucket FailedBatches983C92EC",
      "AWS::SecretsManager::Secret ApiKeys3BB3983D",
    ]
  `);
});

/** What goes wrong in real life, put in on purpose; the promise that must notice, and no other one. */
type Break = [part: Promised['part'], broken: string, notices: RegExp, change: (t: CfnTemplate) => void];
// biome-ignore lint/suspicious/noExplicitAny: a template's properties have no types
type Loose = any;
const first = (t: CfnTemplate, type: string): Loose => ofType(t, type)[0]?.Properties;
const TABLE = 'AWS::DynamoDB::GlobalTable';
const BREAKS: Break[] = [
  ['data', 'no key rotation', /key rotates/, (t) => (first(t, 'AWS::KMS::Key').EnableKeyRotation = false)],
  [
    'data',
    'a stream in the clear',
    /stream is encrypted/,
    (t) => delete first(t, 'AWS::Kinesis::Stream').StreamEncryption,
  ],
  [
    'data',
    'a stream of another name',
    /stream has the name/,
    (t) => (first(t, 'AWS::Kinesis::Stream').Name = 'stream'),
  ],
  [
    'data',
    "a table with AWS's key",
    /table is encrypted/,
    (t) => delete first(t, TABLE).Replicas[0].SSESpecification,
  ],
  [
    'data',
    'no point-in-time recovery',
    /restored to any second/,
    (t) => delete first(t, TABLE).Replicas[0].PointInTimeRecoverySpecification,
  ],
  [
    'data',
    'a table that goes with its stack',
    /survives its stack/,
    (t) => (Object.values(t.Resources).find((r) => r.Type === TABLE)!.DeletionPolicy = 'Delete'),
  ],
  [
    'data',
    'a sort key more',
    /keys and indexes/,
    (t) => first(t, TABLE).KeySchema.push({ AttributeName: 'anomaly_time', KeyType: 'RANGE' }),
  ],
  ['data', 'an index less', /keys and indexes/, (t) => delete first(t, TABLE).GlobalSecondaryIndexes],
  [
    'data',
    'records that expire',
    /records expire/,
    (t) => (first(t, TABLE).TimeToLiveSpecification = { AttributeName: 'ttl', Enabled: true }),
  ],
  [
    'data',
    'a replica nobody asked for',
    /have their replicas/,
    (t) => first(t, TABLE).Replicas.push({ ...first(t, TABLE).Replicas[0], Region: 'eu-west-1' }),
  ],
  [
    'data',
    "a secret with AWS's key",
    /API keys lie/,
    (t) => delete first(t, 'AWS::SecretsManager::Secret').KmsKeyId,
  ],
  [
    'registry',
    'no scan on push',
    /scanned on push/,
    (t) => (first(t, 'AWS::ECR::Repository').ImageScanningConfiguration.ScanOnPush = false),
  ],
  [
    'registry',
    'tags that move',
    /tags never move/,
    (t) => (first(t, 'AWS::ECR::Repository').ImageTagMutability = 'MUTABLE'),
  ],
  [
    'registry',
    'images for ever',
    /last 10 releases/,
    (t) => (first(t, 'AWS::ECR::Repository').LifecyclePolicy.LifecyclePolicyText = '{"rules":[]}'),
  ],
  [
    'registry',
    'a push from any branch',
    /image environment may push/,
    (t) =>
      (first(t, 'AWS::IAM::Role').AssumeRolePolicyDocument.Statement[0].Condition = {
        StringLike: { 'token.actions.githubusercontent.com:sub': 'repo:weir-dev/weir:*' },
      }),
  ],
  [
    'registry',
    'a wildcard action',
    /who pushes/,
    (t) => (first(t, 'AWS::IAM::Policy').PolicyDocument.Statement[0].Action = 'ecr:*'),
  ],
  [
    'access',
    'a wildcard action',
    /roles of pods may do single/,
    (t) => (first(t, 'AWS::IAM::Policy').PolicyDocument.Statement[0].Action = ['kinesis:Put*']),
  ],
  [
    'access',
    'a wildcard resource',
    /roles of pods may do single/,
    (t) => (first(t, 'AWS::IAM::Policy').PolicyDocument.Statement[0].Resource = '*'),
  ],
  [
    'access',
    'a managed policy',
    /roles of pods may do single/,
    (t) =>
      (first(t, 'AWS::IAM::Role').ManagedPolicyArns = ['arn:aws:iam::aws:policy/AmazonKinesisFullAccess']),
  ],
  [
    'access',
    'a role for every pod of the cluster',
    /one service account/,
    (t) =>
      delete first(t, 'AWS::IAM::Role').AssumeRolePolicyDocument.Statement[0].Condition.StringEquals[
        'aws:RequestTag/kubernetes-service-account'
      ],
  ],
  [
    'access',
    'a deployment from any branch',
    /may deploy/,
    (t) =>
      (ofType(t, 'AWS::IAM::Role').at(
        -1,
      )!.Properties.AssumeRolePolicyDocument.Statement[0].Condition.StringEquals[
        'token.actions.githubusercontent.com:sub'
      ] = 'repo:weir-dev/weir:ref:refs/heads/main'),
  ],
  [
    'lambda',
    'no bisect',
    /failed batch is halved/,
    (t) => (first(t, 'AWS::Lambda::EventSourceMapping').BisectBatchOnFunctionError = false),
  ],
  [
    'lambda',
    'all or nothing',
    /failed batch is halved/,
    (t) => delete first(t, 'AWS::Lambda::EventSourceMapping').FunctionResponseTypes,
  ],
  [
    'lambda',
    'no destination',
    /failed batch is halved/,
    (t) => delete first(t, 'AWS::Lambda::EventSourceMapping').DestinationConfig,
  ],
  [
    'lambda',
    'one batch a shard',
    /two a shard at once/,
    (t) => (first(t, 'AWS::Lambda::EventSourceMapping').ParallelizationFactor = 1),
  ],
  [
    'lambda',
    'another processor',
    /as the design says: arm64/,
    (t) => (first(t, 'AWS::Lambda::Function').Architectures = ['x86_64']),
  ],
  [
    'lambda',
    'a wildcard action',
    /function's role/,
    (t) => (first(t, 'AWS::IAM::Policy').PolicyDocument.Statement[0].Action = 'dynamodb:*'),
  ],
  [
    'observability',
    'a runbook that is not there',
    /links a runbook/,
    (t) =>
      (first(t, 'AWS::CloudWatch::Alarm').AlarmDescription =
        'https://github.com/weir-dev/weir/blob/main/docs/runbooks/nowhere.md'),
  ],
  [
    'observability',
    'an alarm nobody hears',
    /tells somebody and/,
    (t) => delete first(t, 'AWS::CloudWatch::Alarm').AlarmActions,
  ],
  [
    'observability',
    'a topic open to all',
    /topic is encrypted/,
    (t) => delete first(t, 'AWS::SNS::TopicPolicy').PolicyDocument.Statement.at(-1).Condition,
  ],
  [
    'observability',
    'no budget',
    /above the budget/,
    (t) => (first(t, 'AWS::Budgets::Budget').Budget.BudgetLimit.Amount = 1e9),
  ],
  [
    'access',
    'a key file that the producer may not read',
    /keys of clients may be read/,
    (t) => {
      for (const { Properties } of ofType(t, 'AWS::IAM::Policy'))
        Properties.PolicyDocument.Statement = Properties.PolicyDocument.Statement.filter(
          (statement: Loose) => statement.Sid !== 'ApiKeys',
        );
    },
  ],
  [
    'network',
    'endpoints open to the world',
    /endpoints take HTTPS/,
    (t) => (first(t, 'AWS::EC2::SecurityGroup').SecurityGroupIngress[0].CidrIp = '0.0.0.0/0'),
  ],
  [
    'network',
    'a way out for data',
    /endpoints take HTTPS/,
    (t) =>
      delete ofType(t, 'AWS::EC2::VPCEndpoint').find((e) => e.Properties.PolicyDocument)!.Properties
        .PolicyDocument,
  ],
];

describe('a promise broken on purpose', () => {
  const both = templatesOf(testApp([staging, prod]));

  it.each(BREAKS)('%s: %s', (part, _, notices, change) => {
    const env = part === 'lambda' ? staging : prod;
    const template = structuredClone(both[stackOf(part, env.name)] as CfnTemplate);
    change(template);
    const broken = PROMISES.filter((p) => p.part === part).filter(({ check }) => {
      try {
        check(template, env);
        return false;
      } catch {
        return true;
      }
    });
    expect(broken.map(({ says }) => says)).toEqual([expect.stringMatching(notices)]);
  });
});
