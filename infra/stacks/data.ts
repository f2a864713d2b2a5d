import { Duration, RemovalPolicy, SecretValue, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { type ShardLevelMetrics, Stream, StreamEncryption, StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { Key } from 'aws-cdk-lib/aws-kms';
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { apiKeysSecretName, failedBatchesBucket, parameterPrefix } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import {
  DEAD_LETTER_TABLE,
  EXPIRES_AT,
  LEASE_TABLE,
  RECORDS_TABLE,
  STATE_TABLE,
  tableNames,
} from '../../services/shared/tables.ts';
import { publish } from '../constructs/parameters.ts';
import { createTable } from '../constructs/table.ts';

/** Time for which a batch that was given up can be looked at and replayed, in days. */
const FAILED_BATCHES_DAYS = 30;

/** A key file that lets nobody in. */
const NO_API_KEYS = '{"keys":[]}';

/** All that holds data: losing this stack loses events. Everything else can be destroyed and made again. */
export class DataStack extends Stack {
  readonly key: Key;

  constructor(scope: Construct, id: string, props: StackProps & { environment: Environment }) {
    super(scope, id, props);
    const env = props.environment;
    const removalPolicy = env.protectData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    this.key = this.#createKey(env, removalPolicy);
    const stream = new Stream(this, 'Stream', {
      streamName: env.stream.name,
      ...(env.stream.mode.kind === 'provisioned'
        ? { streamMode: StreamMode.PROVISIONED, shardCount: env.stream.mode.shards }
        : { streamMode: StreamMode.ON_DEMAND }),
      retentionPeriod: Duration.hours(env.stream.retentionHours),
      encryption: StreamEncryption.KMS,
      encryptionKey: this.key,
      shardLevelMetrics: env.stream.shardMetrics as ShardLevelMetrics[],
      removalPolicy,
    });
    Validations.of(stream).acknowledge({
      id: 'AwsSolutions-KDS3',
      reason:
        'A key of our own on purpose: its policy and its use can be audited, and it can be replicated. It costs $1 a month and calls that Kinesis caches for five minutes.',
    });
    const { pods, lambda } = env.consumers;
    if (pods) this.#createTables(env, 'Pods', pods.group, true);
    if (lambda) {
      this.#createTables(env, 'Lambda', lambda.group, false);
      this.#createFailedBatchesBucket(env, removalPolicy);
    }
    const apiKeys = this.#createApiKeys(env, removalPolicy);
    publish(this, parameterPrefix(env), {
      'stream-arn': stream.streamArn,
      'key-arn': this.key.keyArn,
      'api-keys-secret-arn': apiKeys.secretArn,
    });
  }

  /** Multi-region from the start, because a key can't become it later and a replica of a table needs one. */
  #createKey(env: Environment, removalPolicy: RemovalPolicy): Key {
    const key = new Key(this, 'Key', {
      alias: `weir-${env.name}`,
      description: `Stream, tables, secrets and alarms of Weir ${env.name}`,
      enableKeyRotation: true,
      multiRegion: true,
      pendingWindow: Duration.days(30),
      removalPolicy,
    });
    for (const service of ['cloudwatch', 'budgets']) {
      key.addToResourcePolicy(
        new PolicyStatement({
          sid: `AlarmsFrom${service}`,
          principals: [new ServicePrincipal(`${service}.amazonaws.com`)],
          actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
          resources: ['*'], // In a key policy: this key.
          conditions: { StringEquals: { 'aws:SourceAccount': env.account } },
        }),
      );
    }
    return key;
  }

  /** A consumer group's tables. Only pods coordinate by leases; Lambda's event source mapping does it for itself. */
  #createTables(env: Environment, id: string, group: string, leases: boolean): void {
    const names = tableNames(group);
    const common = { key: this.key, protect: env.protectData };
    const { replicas, replicaKeyArn } = env.records;
    if (replicaKeyArn === undefined) {
      createTable(this, `${id}Records`, {
        ...common,
        name: names.records,
        definition: RECORDS_TABLE,
        replicas,
        ttlAttribute: env.records.ttlDays ? EXPIRES_AT : undefined,
      });
      createTable(this, `${id}DeadLetters`, {
        ...common,
        name: names.deadLetters,
        definition: DEAD_LETTER_TABLE,
        replicas,
      });
    }
    // Positions in this region's stream mean nothing in another: no replicas of leases and states.
    createTable(this, `${id}State`, {
      ...common,
      name: names.state,
      definition: STATE_TABLE,
      ttlAttribute: STATE_TABLE.timeToLive,
    });
    if (leases) createTable(this, `${id}Leases`, { ...common, name: names.leases, definition: LEASE_TABLE });
  }

  #createFailedBatchesBucket(env: Environment, removalPolicy: RemovalPolicy): void {
    const bucket = new Bucket(this, 'FailedBatches', {
      bucketName: failedBatchesBucket(env),
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      encryption: BucketEncryption.KMS,
      encryptionKey: this.key,
      bucketKeyEnabled: true,
      versioned: true,
      lifecycleRules: [
        {
          expiration: Duration.days(FAILED_BATCHES_DAYS),
          noncurrentVersionExpiration: Duration.days(FAILED_BATCHES_DAYS),
          abortIncompleteMultipartUploadAfter: Duration.days(1),
        },
      ],
      removalPolicy,
    });
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason:
        'Written by one role, a few objects a year, read by people on call: CloudTrail tells who. An access log would need a second bucket with the same question.',
    });
  }

  /** Salted hashes of the clients' keys, as `AUTH_KEYS_FILE` holds them; made with none, the owner puts them in. */
  #createApiKeys(env: Environment, removalPolicy: RemovalPolicy): Secret {
    const secret = new Secret(this, 'ApiKeys', {
      secretName: apiKeysSecretName(env),
      description: 'AUTH_KEYS_FILE of the producer',
      encryptionKey: this.key,
      secretStringValue: SecretValue.unsafePlainText(NO_API_KEYS),
      removalPolicy,
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason:
        'The keys belong to clients: a rotation that their owners do not know of locks them out. Two keys of a client may be valid at once, so that rotating is adding, telling, removing (docs/how-to/deploy-infrastructure.md).',
    });
    return secret;
  }
}
