import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { type Command, Option } from 'commander';
import { consumerEnv } from '../consumer/config.ts';
import { awsOptions, createDynamoDBClient, createKinesisClient } from '../shared/aws.ts';
import { commonEnv, parseEnv, text } from '../shared/config.ts';
import { tableNames } from '../shared/tables.ts';
import { readDemo } from './demo-file.ts';

/** Tables that a command may look at, by the variable that names them and its option. */
const TABLES = {
  leases: ['LEASE_TABLE', '--lease-table <name>', 'KCL lease table of the group'],
  records: ['RECORDS_TABLE', '--records-table <name>', 'table of scored events'],
  state: ['STATE_TABLE', '--state-table <name>', "table of the sources' states"],
  deadLetters: ['DEAD_LETTER_TABLE', '--dead-letter-table <name>', 'table of dead letters'],
} as const;
type TableKind = keyof typeof TABLES;

const { STREAM_NAME: _, ...common } = commonEnv;
const targetEnv = {
  ...common,
  STREAM_NAME: text('Kinesis stream, by name or ARN.', {
    default: 'anomaly-stream',
    pattern: /^(arn:aws[\w-]*:kinesis:[\w-]+:\d{12}:stream\/)?[a-zA-Z0-9_.-]{1,128}$/,
    accepts: 'name or ARN of a stream',
  }),
  LEASE_TABLE: consumerEnv.LEASE_TABLE,
  RECORDS_TABLE: consumerEnv.RECORDS_TABLE,
  STATE_TABLE: consumerEnv.STATE_TABLE,
  DEAD_LETTER_TABLE: consumerEnv.DEAD_LETTER_TABLE,
};

/** The options that `addTargetOptions` adds, as commander hands them out. */
export interface TargetOptions {
  stream?: string;
  group?: string;
  region?: string;
  endpointUrl?: string;
  demo?: boolean;
  leaseTable?: string;
  recordsTable?: string;
  stateTable?: string;
  deadLetterTable?: string;
}

/** Adds the options that say which stream, tables and endpoint a command looks at. */
export function addTargetOptions(command: Command, tables: readonly TableKind[], stream = true): Command {
  const option = (flags: string, description: string) => command.addOption(new Option(flags, description));
  if (stream) option('--stream <name>', 'Kinesis stream, name or ARN (STREAM_NAME, else anomaly-stream)');
  if (tables.length > 0)
    option('--group <name>', 'consumer group, whose tables are <name>-leases, <name>-records, and so on');
  for (const kind of tables) {
    const [variable, flags, what] = TABLES[kind];
    option(flags, `${what} (${variable}, else anomaly-stream-…)`);
  }
  option('--region <name>', 'AWS region (AWS_REGION, else ap-south-1)');
  option('--endpoint-url <url>', 'of all AWS services, for emulators (AWS_ENDPOINT_URL)');
  option('--demo', 'the demo that runs on this machine, instead of AWS');
  return command;
}

/** What a command looks at, and the clients to do it with. */
export interface Target {
  /** Name or ARN. */
  stream: string;
  region: string;
  leaseTable: string;
  recordsTable: string;
  stateTable: string;
  deadLetterTable: string;
  kinesis: KinesisClient;
  dynamodb: DynamoDBClient;
}

/**
 * Runs a command on its target, and closes the clients after it.
 *
 * @throws ConfigError that names each variable or option which can't be used.
 */
export async function withTarget<T>(
  options: TargetOptions,
  work: (target: Target) => Promise<T>,
): Promise<T> {
  const demo = options.demo ? readDemo() : undefined;
  const group = options.group === undefined ? undefined : tableNames(options.group);
  const given = {
    STREAM_NAME: options.stream,
    LEASE_TABLE: options.leaseTable ?? group?.leases,
    RECORDS_TABLE: options.recordsTable ?? group?.records,
    STATE_TABLE: options.stateTable ?? group?.state,
    DEAD_LETTER_TABLE: options.deadLetterTable ?? group?.deadLetters,
    AWS_REGION: options.region,
  };
  const env = parseEnv(targetEnv, {
    AWS_REGION: process.env.AWS_DEFAULT_REGION,
    ...(demo ? demo.env : process.env),
    ...(options.endpointUrl === undefined
      ? {}
      : {
          AWS_ENDPOINT_URL: options.endpointUrl,
          AWS_ENDPOINT_URL_KINESIS: '',
          AWS_ENDPOINT_URL_DYNAMODB: '',
        }),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  });
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = demo?.env ?? {};
  const aws = {
    ...awsOptions(env),
    ...(accessKeyId && secretAccessKey ? { credentials: { accessKeyId, secretAccessKey } } : {}),
  };
  const kinesis = createKinesisClient(aws);
  const dynamodb = createDynamoDBClient(aws);
  try {
    return await work({
      stream: env.STREAM_NAME,
      region: env.AWS_REGION,
      leaseTable: env.LEASE_TABLE,
      recordsTable: env.RECORDS_TABLE,
      stateTable: env.STATE_TABLE,
      deadLetterTable: env.DEAD_LETTER_TABLE,
      kinesis,
      dynamodb,
    });
  } finally {
    kinesis.destroy();
    dynamodb.destroy();
  }
}
