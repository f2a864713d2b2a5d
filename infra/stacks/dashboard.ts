import { Duration } from 'aws-cdk-lib';
import {
  Color,
  GraphWidget,
  type IMetric,
  type IWidget,
  Stats,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import { consumerGroups } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import { tableNames } from '../../services/shared/tables.ts';
import { customMetric, kinesisMetric, lambdaMetric, tableMetric } from '../constructs/metrics.ts';
import { podsBehind } from './alarms.ts';

const MINUTE = Duration.minutes(1);
const WIDTH = 8;

/** The dashboard's rows: what flows, how far behind it is, who refuses work, what it costs in capacity. */
export function dashboardRows(env: Environment): IWidget[][] {
  const groups = consumerGroups(env);
  const { pods, lambda } = env.consumers;
  const kinesis = (name: string, statistic: string) => kinesisMetric(env, name, statistic, MINUTE);
  const tables = (metric: string) =>
    groups
      .flatMap((group) => Object.values(tableNames(group)))
      .map((table) => tableMetric(table, metric, MINUTE));
  const behind: IMetric[] = [
    ...(pods ? [podsBehind(env)] : []),
    ...(lambda ? [lambdaMetric('IteratorAge', Stats.MAXIMUM, MINUTE)] : []),
  ];
  return [
    [
      new TextWidget({
        markdown: `# Weir ${env.name}\nStream \`${env.stream.name}\`. Runbooks: ${runbookUrl(env, '')}`,
        width: 24,
        height: 2,
      }),
    ],
    [
      graph('Real-time Processing Metrics', [
        kinesis('IncomingRecords', Stats.SUM),
        ...(lambda ? [lambdaMetric('Invocations', Stats.SUM, MINUTE)] : []),
        ...groups.map((group) =>
          tableMetric(tableNames(group).records, 'ConsumedWriteCapacityUnits', MINUTE),
        ),
      ]),
      graph('Bytes in and out', [
        kinesis('IncomingBytes', Stats.SUM),
        kinesis('GetRecords.Bytes', Stats.SUM),
      ]),
      graph('Behind the stream (ms)', behind, env.alarms.iteratorAgeSeconds * 1000),
    ],
    [
      graph('Processed records', [customMetric(env, 'processedRecords', Stats.SUM, MINUTE)]),
      graph('Processing latency (ms)', [
        customMetric(env, 'processingLatency', Stats.percentile(50), MINUTE),
        customMetric(env, 'processingLatency', Stats.percentile(99), MINUTE),
      ]),
      graph('Error rate (%)', [customMetric(env, 'errorRate', Stats.AVERAGE, MINUTE)]),
    ],
    [
      graph('Kinesis throttles', [
        kinesis('WriteProvisionedThroughputExceeded', Stats.SUM),
        kinesis('ReadProvisionedThroughputExceeded', Stats.SUM),
      ]),
      graph('DynamoDB throttled writes', tables('WriteThrottleEvents')),
      graph(
        'Dead letters (write units)',
        groups.map((group) =>
          tableMetric(tableNames(group).deadLetters, 'ConsumedWriteCapacityUnits', MINUTE),
        ),
      ),
    ],
    [
      graph('DynamoDB write units', tables('ConsumedWriteCapacityUnits')),
      graph('DynamoDB read units', tables('ConsumedReadCapacityUnits')),
      ...(lambda
        ? [
            graph('Lambda', [
              lambdaMetric('Duration', Stats.percentile(99), MINUTE),
              lambdaMetric('ConcurrentExecutions', Stats.MAXIMUM, MINUTE),
              lambdaMetric('Errors', Stats.SUM, MINUTE),
              lambdaMetric('Throttles', Stats.SUM, MINUTE),
            ]),
          ]
        : []),
    ],
  ];
}

/** Where an alarm's page is read. */
export function runbookUrl(env: Environment, alarm: string): string {
  const page = alarm === '' ? '' : `${alarm}.md`;
  return `https://github.com/${env.github.repository}/blob/main/docs/runbooks/${page}`;
}

function graph(title: string, left: IMetric[], limit?: number): GraphWidget {
  return new GraphWidget({
    title,
    left,
    width: WIDTH,
    leftYAxis: { min: 0 },
    ...(limit === undefined ? {} : { leftAnnotations: [{ value: limit, color: Color.RED, label: 'alarm' }] }),
  });
}
