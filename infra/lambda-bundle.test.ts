import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, inject, it } from 'vitest';
import { staging } from '../cdk8s/environments/staging.ts';
import { Aggregator } from '../services/shared/kpl/aggregate.ts';
import { EMULATOR_CREDENTIALS } from '../services/testkit/emulators.ts';
import { EventSourceMapping, type MappingOptions } from '../services/testkit/event-source-mapping.ts';
import { lambdaFunction } from '../services/testkit/lambda-bundle.ts';
import { TestStack } from '../services/testkit/stack.ts';
import { type CfnTemplate, ofType, templatesOf, testApp } from './testing/templates.ts';

const run = promisify(execFile);
const SHARD = 'shardId-000000000000';

/** What the template says of the mapping, as the harness of its documented rules takes it. */
function mappingOptions(template: CfnTemplate): MappingOptions {
  const mapping = ofType(template, 'AWS::Lambda::EventSourceMapping')[0]?.Properties;
  return {
    streamArn: mapping.EventSourceArn,
    batchSize: mapping.BatchSize,
    parallelizationFactor: mapping.ParallelizationFactor,
    bisectBatchOnFunctionError: mapping.BisectBatchOnFunctionError,
    reportBatchItemFailures: mapping.FunctionResponseTypes.includes('ReportBatchItemFailures'),
    maximumRetryAttempts: mapping.MaximumRetryAttempts,
    maximumRecordAgeInSeconds: mapping.MaximumRecordAgeInSeconds,
  };
}

/** Metrics of a line in embedded metric format: namespace, name, and names of the dimensions. */
function emittedMetrics(line: string): string[] {
  const { CloudWatchMetrics } = JSON.parse(line)._aws as {
    CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string }[] }[];
  };
  return CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
    Metrics.map(({ Name }) => [Namespace, Name, ...(Dimensions[0] ?? [])].join(' ')),
  );
}

/** The same of the metrics of ours that the dashboard shows. */
function shownMetrics(template: CfnTemplate): Set<string> {
  const body = JSON.stringify(ofType(template, 'AWS::CloudWatch::Dashboard')[0]?.Properties.DashboardBody);
  const metrics = body.replaceAll('\\', '').matchAll(/\["(KinesisECRML)","(\w+)"(?:,"(\w+)","[\w.-]+")?/g);
  return new Set([...metrics].map(([, ...parts]) => parts.filter((part) => part !== undefined).join(' ')));
}

it('the bundle that would be deployed scores plain and aggregated events behind the mapping of its template', {
  timeout: 60_000,
}, async () => {
  // Not into dist: other tests build there.
  const folder = mkdtempSync(join(tmpdir(), 'weir-lambda-'));
  await run(process.execPath, ['scripts/build.ts', 'lambda', '--to', folder]);
  const templates = templatesOf(testApp([staging], { lambdaBundle: join(folder, 'lambda') }));
  const template = templates['weir-staging-lambda'];
  const { Properties } = ofType(template as CfnTemplate, 'AWS::Lambda::Function')[0]!;
  expect(Properties.Handler).toBe('main.handler');
  const stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  const lambda = lambdaFunction({
    bundle: join(folder, 'lambda', 'main.mjs'),
    env: {
      ...Properties.Environment.Variables,
      // Tables of this test, on the emulator, instead of staging's.
      ...stack.env,
      AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
    },
    timeoutMs: Properties.Timeout * 1000,
  });
  try {
    const event = (id: string, amount: number) =>
      JSON.stringify({ source: 'sensor-001', amount, timestamp: '2026-01-15T10:30:00Z', request_id: id });
    const aggregate = new Aggregator();
    aggregate.add({ partitionKey: 'sensor-001', data: Buffer.from(event('aggregated-1', 10)) });
    aggregate.add({ partitionKey: 'sensor-001', data: Buffer.from(event('aggregated-2', 2500)) });
    const record = (n: number, data: Uint8Array, arrivedAt = Date.now()) => ({
      partitionKey: 'sensor-001',
      sequenceNumber: String(1000 + n),
      data,
      arrivedAt,
    });
    const mapping = new EventSourceMapping(mappingOptions(template as CfnTemplate), lambda.invoke);
    const tooOld = record(0, Buffer.from(event('too-old', 1)), Date.now() - 7 * 3_600_000);
    const { givenUp } = await mapping.run(SHARD, [tooOld]);
    const result = await mapping.run(SHARD, [
      record(1, Buffer.from(event('plain', 1500.5))),
      record(2, aggregate.encode()),
      record(3, Buffer.from('not an event')),
    ]);
    const items = await stack.records();
    expect(items.map(({ id, anomaly_score, is_anomaly }) => [id, anomaly_score, is_anomaly]).sort()).toEqual([
      ['aggregated-1', 0.01, false],
      ['aggregated-2', 2, true],
      ['plain', 1.5005, true],
    ]);
    expect(result.givenUp).toEqual([]);
    expect(givenUp.map(({ KinesisBatchInfo }) => KinesisBatchInfo.startSequenceNumber)).toEqual(['1000']);
    expect(await stack.deadLetters()).toHaveLength(1);
    const emitted = lambda.output
      .filter((line) => line.includes('"CloudWatchMetrics"'))
      .flatMap(emittedMetrics);
    expect(new Set(emitted).size).toBe(3);
    expect(new Set(emitted)).toEqual(shownMetrics(templates['weir-staging-observability'] as CfnTemplate));
  } finally {
    await lambda.stop();
    await stack.close();
    rmSync(folder, { recursive: true });
  }
});
