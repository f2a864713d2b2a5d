import type { Duration } from 'aws-cdk-lib';
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { CUSTOM_METRICS, LAMBDA_FUNCTION } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';

/** A metric of the stream, https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html. */
export function kinesisMetric(
  env: Environment,
  metricName: string,
  statistic: string,
  period: Duration,
  dimensions: Record<string, string> = {},
): Metric {
  return new Metric({
    namespace: 'AWS/Kinesis',
    metricName,
    statistic,
    period,
    dimensionsMap: { StreamName: env.stream.name, ...dimensions },
  });
}

export function lambdaMetric(metricName: string, statistic: string, period: Duration): Metric {
  return new Metric({
    namespace: 'AWS/Lambda',
    metricName,
    statistic,
    period,
    dimensionsMap: { FunctionName: LAMBDA_FUNCTION },
  });
}

/** Counts of the event source mapping, reported because its `metricsConfig` asks for them. */
export function eventSourceMetric(mappingId: string, metricName: string, period: Duration): Metric {
  return new Metric({
    namespace: 'AWS/Lambda',
    metricName,
    statistic: Stats.SUM,
    period,
    dimensionsMap: { EventSourceMappingUUID: mappingId },
  });
}

export function tableMetric(table: string, metricName: string, period: Duration): Metric {
  return new Metric({
    namespace: 'AWS/DynamoDB',
    metricName,
    statistic: Stats.SUM,
    period,
    dimensionsMap: { TableName: table },
  });
}

/** A metric that the consumer itself sends; only the count of records has the stream as dimension, as in the original design. */
export function customMetric(
  env: Environment,
  metric: 'processedRecords' | 'processingLatency' | 'errorRate',
  statistic: string,
  period: Duration,
): Metric {
  return new Metric({
    namespace: CUSTOM_METRICS.namespace,
    metricName: CUSTOM_METRICS[metric],
    statistic,
    period,
    ...(metric === 'processedRecords'
      ? { dimensionsMap: { [CUSTOM_METRICS.dimension]: env.stream.name } }
      : {}),
  });
}
