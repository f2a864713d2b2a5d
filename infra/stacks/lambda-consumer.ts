import { Duration, RemovalPolicy, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { Peer, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { CfnStreamConsumer } from 'aws-cdk-lib/aws-kinesis';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  ApplicationLogLevel,
  Architecture,
  Code,
  EventSourceMapping,
  Function as LambdaFunction,
  LoggingFormat,
  MetricType,
  Runtime,
  StartingPosition,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { detectionVariables } from '../../cdk8s/environments/detection.ts';
import {
  failedBatchesBucket,
  LAMBDA_FUNCTION,
  parameterPrefix,
  roleName,
  streamArn,
} from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import { lambdaCalls } from '../../services/consumer/aws-calls.ts';
import { tableNames } from '../../services/shared/tables.ts';
import { callStatements, keyStatement } from '../constructs/grants.ts';
import { publish } from '../constructs/parameters.ts';
import { importVpc } from './network.ts';

type LambdaSettings = NonNullable<Environment['consumers']['lambda']>;

interface LambdaConsumerStackProps extends StackProps {
  environment: Environment;
  settings: LambdaSettings;
  key: IKey;
  /** Folder with the bundle, made by `npm run build`. */
  bundle: string;
}

/** What the function's code is told; the names are those of the consumer's `config.ts`. */
export function lambdaVariables(env: Environment, settings: LambdaSettings): Record<string, string> {
  const tables = tableNames(settings.group);
  return {
    STREAM_NAME: env.stream.name,
    RECORDS_TABLE: tables.records,
    STATE_TABLE: tables.state,
    DEAD_LETTER_TABLE: tables.deadLetters,
    STORE: env.records.store,
    ITEM_DAYS: String(env.records.ttlDays ?? 0),
    ...detectionVariables(env.detection),
    // Of an invocation's time half, at most what pods give it: a record at fault must be found within one.
    WRITE_RETRY_MS: String(Math.min(30, settings.timeoutSeconds / 2) * 1000),
  };
}

/** The consumer as a function: the same pipeline as in pods, driven by an event source mapping. */
export class LambdaConsumerStack extends Stack {
  readonly mappingId: string;

  constructor(scope: Construct, id: string, props: LambdaConsumerStackProps) {
    super(scope, id, props);
    const { environment: env, settings, key } = props;
    const logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/${LAMBDA_FUNCTION}`,
      retention: settings.logRetentionDays,
      // The name is fixed: a log group left behind would be in the way of the next deployment.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = this.#createRole(env, settings, { logGroup, keyArn: key.keyArn });
    const network = settings.inVpc ? this.#inVpc(env, role) : {};
    const handler = new LambdaFunction(this, 'Function', {
      functionName: LAMBDA_FUNCTION,
      description: `Scores the events of ${env.stream.name}`,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      code: Code.fromAsset(props.bundle),
      handler: 'main.handler',
      role,
      memorySize: settings.memoryMb,
      timeout: Duration.seconds(settings.timeoutSeconds),
      environment: { ...lambdaVariables(env, settings), NODE_OPTIONS: '--enable-source-maps' },
      tracing: Tracing.ACTIVE,
      loggingFormat: LoggingFormat.JSON,
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: SystemLogLevel.WARN,
      logGroup,
      ...network,
    });
    Validations.of(handler).acknowledge({
      id: 'Serverless-LambdaDLQ',
      reason:
        "A dead-letter queue takes events of asynchronous invocations; a stream's failures go to the mapping's on-failure destination.",
    });
    const mapping = new EventSourceMapping(this, 'Mapping', {
      target: handler,
      eventSourceArn: settings.fanout ? this.#registerFanout(env, settings) : streamArn(env),
      startingPosition: StartingPosition.LATEST,
      batchSize: settings.batchSize,
      maxBatchingWindow: Duration.seconds(settings.batchWindowSeconds),
      parallelizationFactor: settings.parallelization,
      bisectBatchOnError: true,
      reportBatchItemFailures: true,
      retryAttempts: settings.retryAttempts,
      maxRecordAge: Duration.seconds(settings.maxRecordAgeSeconds),
      onFailure: { bind: () => ({ destination: bucketArn(env) }) },
      metricsConfig: { metrics: [MetricType.EVENT_COUNT] },
    });
    // It checks the role's rights when it is made.
    mapping.node.addDependency(role);
    this.mappingId = mapping.eventSourceMappingId;
    publish(this, parameterPrefix(env), { 'lambda-function-arn': handler.functionArn });
  }

  #registerFanout(env: Environment, settings: LambdaSettings): string {
    const consumer = new CfnStreamConsumer(this, 'Fanout', {
      consumerName: settings.group,
      streamArn: streamArn(env),
    });
    return consumer.attrConsumerArn;
  }

  #createRole(
    env: Environment,
    settings: LambdaSettings,
    { logGroup, keyArn }: { logGroup: LogGroup; keyArn: string },
  ): Role {
    const role = new Role(this, 'Role', {
      roleName: roleName(env, 'lambda'),
      description: `The function ${LAMBDA_FUNCTION}`,
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    });
    const add = (sid: string, actions: string[], ...resources: string[]) =>
      role.addToPolicy(new PolicyStatement({ sid, actions, resources }));
    for (const statement of callStatements(env, lambdaCalls, { group: settings.group, keyArn }))
      role.addToPolicy(statement);
    // What the event source mapping does with this role:
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
    add(
      'MappingReads',
      [
        'kinesis:DescribeStream',
        'kinesis:DescribeStreamSummary',
        'kinesis:GetRecords',
        'kinesis:GetShardIterator',
        'kinesis:ListShards',
        // Lambda refuses a mapping whose role lacks it, although AWS knows no resource for it.
        'kinesis:ListStreams',
      ],
      streamArn(env),
    );
    if (settings.fanout) {
      const consumer = `${streamArn(env)}/consumer/${settings.group}:*`;
      add(
        'MappingFanout',
        ['kinesis:DescribeStreamConsumer', 'kinesis:SubscribeToShard'],
        streamArn(env),
        consumer,
      );
      Validations.of(role).acknowledge({
        id: `AwsSolutions-IAM5[Resource::${consumer}]`,
        reason:
          "The star stands for the time of registration in the consumer's ARN; the name of the consumer is given whole.",
      });
    }
    for (const statement of keyStatement(
      'MappingReadsKey',
      ['kms:Decrypt'],
      keyArn,
      `kinesis.${env.region}.amazonaws.com`,
    ))
      role.addToPolicy(statement);
    add('MappingGivesUpBucket', ['s3:ListBucket'], bucketArn(env));
    const objects = `${bucketArn(env)}/aws/lambda/*`;
    add('MappingGivesUp', ['s3:PutObject'], objects);
    for (const statement of keyStatement(
      'MappingGivesUpKey',
      ['kms:GenerateDataKey'],
      keyArn,
      `s3.${env.region}.amazonaws.com`,
    ))
      role.addToPolicy(statement);
    // What the runtime does with it.
    add('Logs', ['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);
    Validations.of(role).acknowledge(
      {
        id: `AwsSolutions-IAM5[Resource::${objects}]`,
        reason: 'The event source mapping names each object by its time and batch.',
      },
      {
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'X-Ray takes traces of the account, its two write actions take no resource.',
      },
      {
        id: `AwsSolutions-IAM5[Resource::<${Stack.of(this).getLogicalId(logGroup.node.defaultChild as never)}.Arn>:*]`,
        reason: "The streams of the function's own log group.",
      },
    );
    return role;
  }

  #inVpc(env: Environment, role: Role) {
    const vpc = importVpc(this, env);
    const securityGroup = new SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description: `${LAMBDA_FUNCTION} calls AWS over HTTPS and takes no calls`,
      allowAllOutbound: false,
    });
    // DynamoDB's gateway endpoint has the service's public addresses; the route decides, and the port is one.
    securityGroup.addEgressRule(Peer.anyIpv4(), Port.tcp(443), 'AWS services');
    // Creating network interfaces takes no resource: EC2 knows them only afterwards.
    role.addToPolicy(
      new PolicyStatement({
        sid: 'NetworkInterfaces',
        actions: [
          'ec2:CreateNetworkInterface',
          'ec2:DeleteNetworkInterface',
          'ec2:DescribeNetworkInterfaces',
          'ec2:DescribeSubnets',
        ],
        resources: ['*'],
      }),
    );
    return { vpc, securityGroups: [securityGroup] };
  }
}

function bucketArn(env: Environment): string {
  return `arn:aws:s3:::${failedBatchesBucket(env)}`;
}
