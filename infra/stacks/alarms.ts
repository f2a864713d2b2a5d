import { Duration } from 'aws-cdk-lib';
import {
  ComparisonOperator,
  type IMetric,
  MathExpression,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { consumerGroups } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import { tableNames } from '../../services/shared/tables.ts';
import { eventSourceMetric, kinesisMetric, lambdaMetric, tableMetric } from '../constructs/metrics.ts';

/** An alarm, and the name of its page in `docs/runbooks/`. */
export interface AlarmDefinition {
  name: string;
  /** What is wrong, in one sentence. */
  says: string;
  metric: IMetric;
  threshold: number;
  comparison: ComparisonOperator;
  /** Periods in a row that must breach. */
  periods: number;
  /** What no metric at all means. */
  missing: TreatMissingData;
}

const MINUTE = Duration.minutes(1);
const { GREATER_THAN_THRESHOLD, LESS_THAN_THRESHOLD } = ComparisonOperator;
const { NOT_BREACHING, BREACHING } = TreatMissingData;

/** The alarms of an environment. `mappingId` is the Lambda variant's event source mapping, where there is one. */
export function alarmDefinitions(env: Environment, mappingId: string | undefined): AlarmDefinition[] {
  return [
    ...podAlarms(env),
    ...(mappingId === undefined ? [] : lambdaAlarms(env, mappingId)),
    {
      name: 'write-throttles',
      says: 'Kinesis refuses records of the producer: a shard is at its limit.',
      metric: kinesisMetric(env, 'WriteProvisionedThroughputExceeded', Stats.SUM, MINUTE),
      threshold: 0,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 5,
      missing: NOT_BREACHING,
    },
    {
      name: 'dead-letters',
      says: 'Records could not be processed and lie in the dead-letter table.',
      // On demand, DynamoDB reports capacity only where some was consumed: any write is a dead letter.
      metric: sum(
        consumerGroups(env).map((group) =>
          tableMetric(tableNames(group).deadLetters, 'ConsumedWriteCapacityUnits', MINUTE),
        ),
        'writes to dead-letter tables',
      ),
      threshold: 0,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 1,
      missing: NOT_BREACHING,
    },
    {
      name: 'dynamodb-throttles',
      says: 'DynamoDB throttles the consumer: results wait, and the lag grows.',
      metric: sum(
        consumerGroups(env).flatMap((group) =>
          [tableNames(group).records, tableNames(group).state].map((table) =>
            tableMetric(table, 'WriteThrottleEvents', MINUTE),
          ),
        ),
        'throttled writes',
      ),
      threshold: 0,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 5,
      missing: NOT_BREACHING,
    },
    ...noDataAlarm(env),
  ];
}

function podAlarms(env: Environment): AlarmDefinition[] {
  const { pods } = env.consumers;
  if (!pods) return [];
  return [
    {
      name: 'iterator-age',
      says: `The consumer's pods are more than ${env.alarms.iteratorAgeSeconds} s behind the stream.`,
      metric: podsBehind(env),
      threshold: env.alarms.iteratorAgeSeconds * 1000,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 5,
      missing: NOT_BREACHING,
    },
  ];
}

/**
 * Milliseconds that the pods' reads are behind. Polling shows in the stream's iterator age, enhanced fan-out
 * only in the metric of its consumer; with `auto` either may be there, so the larger one counts.
 */
export function podsBehind(env: Environment): IMetric {
  const pods = env.consumers.pods;
  const polling = kinesisMetric(env, 'GetRecords.IteratorAgeMilliseconds', Stats.MAXIMUM, MINUTE);
  const fanout = kinesisMetric(env, 'SubscribeToShardEvent.MillisBehindLatest', Stats.MAXIMUM, MINUTE, {
    ConsumerName: pods?.group ?? '',
  });
  if (pods?.fetch === 'polling') return polling;
  if (pods?.fetch === 'fanout') return fanout;
  return new MathExpression({
    expression: 'MAX([FILL(polling, 0), FILL(fanout, 0)])',
    usingMetrics: { polling, fanout },
    label: 'ms behind',
    period: MINUTE,
  });
}

function lambdaAlarms(env: Environment, mappingId: string): AlarmDefinition[] {
  return [
    {
      name: 'lambda-iterator-age',
      says: `The function is more than ${env.alarms.iteratorAgeSeconds} s behind the stream.`,
      metric: lambdaMetric('IteratorAge', Stats.MAXIMUM, MINUTE),
      threshold: env.alarms.iteratorAgeSeconds * 1000,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 5,
      missing: NOT_BREACHING,
    },
    {
      name: 'lambda-errors',
      says: 'Invocations of the function fail as a whole: time-out, memory, or an error at its start.',
      metric: lambdaMetric('Errors', Stats.SUM, MINUTE),
      threshold: 0,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 3,
      missing: NOT_BREACHING,
    },
    {
      name: 'lambda-throttles',
      says: 'Lambda has no concurrency left for the function, so shards wait.',
      metric: lambdaMetric('Throttles', Stats.SUM, MINUTE),
      threshold: 0,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 5,
      missing: NOT_BREACHING,
    },
    {
      name: 'failed-batches',
      says: 'The event source mapping gave records up; they lie in the bucket of failed batches.',
      metric: eventSourceMetric(mappingId, 'OnFailureDestinationDeliveredEventCount', MINUTE),
      threshold: 0,
      comparison: GREATER_THAN_THRESHOLD,
      periods: 1,
      missing: NOT_BREACHING,
    },
  ];
}

/** Only where silence is a fault. A stream without records reports nothing, so missing data breaches. */
function noDataAlarm(env: Environment): AlarmDefinition[] {
  const minutes = env.alarms.noDataMinutes;
  if (minutes === undefined) return [];
  return [
    {
      name: 'no-data',
      says: `No record came into the stream for ${minutes} minutes, although data is due.`,
      metric: kinesisMetric(env, 'IncomingRecords', Stats.SUM, Duration.minutes(minutes)),
      threshold: 1,
      comparison: LESS_THAN_THRESHOLD,
      periods: 1,
      missing: BREACHING,
    },
  ];
}

function sum(metrics: IMetric[], label: string): IMetric {
  const names = metrics.map((_, i) => `m${i}`);
  return new MathExpression({
    // A metric that is missing must not hide the others.
    expression: names.map((name) => `FILL(${name}, 0)`).join(' + '),
    usingMetrics: Object.fromEntries(metrics.map((metric, i) => [names[i] as string, metric])),
    label,
    period: MINUTE,
  });
}
