import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { streamArn, tableArn } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import type { AwsCalls } from '../../services/shared/aws-calls.ts';
import { tableNames } from '../../services/shared/tables.ts';

/** Kinesis calls that make the stream encrypt or decrypt with its key, as the caller. */
const KEY_USE: Readonly<Record<string, string>> = {
  PutRecords: 'kms:GenerateDataKey',
  GetRecords: 'kms:Decrypt',
  SubscribeToShard: 'kms:Decrypt',
};

/**
 * The policy statements for exactly the calls that a service declares. ARNs are built from the environment's
 * names, not taken from the stacks that make the resources: an export that another stack imports could never
 * change again.
 */
export function callStatements(
  env: Environment,
  calls: AwsCalls,
  { group, keyArn }: { group: string; keyArn: string },
): PolicyStatement[] {
  const tables = tableNames(group);
  const stream = streamArn(env);
  const dynamodb = (sid: string, operations: readonly string[] | undefined, ...resources: string[]) =>
    statement(sid, 'dynamodb', operations, resources);
  const usesTables = [calls.records, calls.anomalies, calls.leases, calls.state, calls.deadLetters].some(
    Boolean,
  );
  const streamKeyUse = [...(calls.stream ?? []), ...(calls.streamConsumers ?? [])]
    .map((call) => KEY_USE[call])
    .filter((action) => action !== undefined);
  return [
    ...statement('Stream', 'kinesis', calls.stream, [stream]),
    // A consumer's ARN ends in the time of its registration, which nobody knows beforehand.
    ...statement('StreamConsumers', 'kinesis', calls.streamConsumers, [
      stream,
      `${stream}/consumer/${group}:*`,
    ]),
    ...dynamodb('Records', calls.records, tableArn(env, tables.records)),
    ...dynamodb('Anomalies', calls.anomalies, `${tableArn(env, tables.records)}/index/anomalies`),
    ...dynamodb('Leases', calls.leases, tableArn(env, tables.leases)),
    ...dynamodb('State', calls.state, tableArn(env, tables.state)),
    ...dynamodb('DeadLetters', calls.deadLetters, tableArn(env, tables.deadLetters)),
    ...statement('Metrics', 'cloudwatch', calls.metrics, ['*']),
    ...keyStatement('StreamKey', streamKeyUse, keyArn, `kinesis.${env.region}.amazonaws.com`),
    // DynamoDB opens the table's key in the name of whoever calls it, for reads and writes alike.
    ...keyStatement(
      'TableKey',
      usesTables ? ['kms:Decrypt'] : [],
      [keyArn, ...(env.records.replicaKeyArn === undefined ? [] : [env.records.replicaKeyArn])],
      `dynamodb.${env.region}.amazonaws.com`,
    ),
  ];
}

function statement(
  sid: string,
  service: string,
  operations: readonly string[] | undefined,
  resources: string[],
): PolicyStatement[] {
  if (!operations || operations.length === 0) return [];
  return [new PolicyStatement({ sid, actions: operations.map((o) => `${service}:${o}`), resources })];
}

/** The right to use a key or several, but only through one service. */
export function keyStatement(
  sid: string,
  actions: string[],
  keyArn: string | string[],
  via: string,
): PolicyStatement[] {
  if (actions.length === 0) return [];
  return [
    new PolicyStatement({
      sid,
      actions: [...new Set(actions)],
      resources: [keyArn].flat(),
      conditions: { StringEquals: { 'kms:ViaService': via } },
    }),
  ];
}
