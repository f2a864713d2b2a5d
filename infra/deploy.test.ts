import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DescribeTableCommand, paginateScan } from '@aws-sdk/client-dynamodb';
import { DescribeStreamCommand } from '@aws-sdk/client-kinesis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registry } from '../cdk8s/environments/registry.ts';
import { staging } from '../cdk8s/environments/staging.ts';
import { createDynamoDBClient, createKinesisClient } from '../services/shared/aws.ts';
import { EMULATOR_CREDENTIALS } from '../services/testkit/emulators.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { leaveOut } from './testing/left-out.ts';
import { type Ministack, startMinistack } from './testing/ministack.ts';
import { findPythonTool } from './testing/python-tools.ts';
import { testApp } from './testing/templates.ts';

const run = promisify(execFile);
/** The emulator's account. */
const ACCOUNT = '000000000000';
const REGION = staging.region;
const SCORED_TIMEOUT_MS = 90_000;

describe.skipIf(!process.env.WEIR_TEST_DEPLOY)(
  'the synthesized templates, deployed by the cdk command on ministack (left out of npm test: npm run test:deploy)',
  { timeout: 180_000 },
  () => {
    const assembly = mkdtempSync(join(tmpdir(), 'weir-assembly-'));
    let ministack: Ministack;
    let env: Record<string, string>;
    let producer: ServiceProcess | undefined;
    const cdk = (...args: string[]) =>
      run(process.execPath, ['node_modules/aws-cdk/bin/cdk', ...args, '--app', assembly, '--ci'], {
        env: { ...process.env, ...env },
        maxBuffer: 32 * 1024 * 1024,
      }).then(
        ({ stdout, stderr }) => `${stdout}${stderr}`,
        (error: { stdout: string; stderr: string }) => {
          throw new Error(`cdk ${args.join(' ')}:\n${error.stdout}${error.stderr}\n${ministack.output()}`);
        },
      );

    beforeAll(async () => {
      await run(process.execPath, ['scripts/build.ts', 'lambda']);
      ministack = await startMinistack();
      env = {
        AWS_ENDPOINT_URL: ministack.endpoint,
        AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
        AWS_REGION: REGION,
      };
      testApp([{ ...staging, account: ACCOUNT }], {
        registry: { ...registry, account: ACCOUNT },
        lambdaBundle: 'dist/lambda',
        outdir: assembly,
      }).synth();
      leaveOut(assembly);
      await cdk('bootstrap', `aws://${ACCOUNT}/${REGION}`);
      await cdk('deploy', '*', '--require-approval', 'never', '--concurrency', '3');
    }, 180_000);

    afterAll(async () => {
      await producer?.stop();
      await ministack?.stop();
      rmSync(assembly, { recursive: true, force: true });
    });

    const clients = () => {
      const options = { region: REGION, credentials: EMULATOR_CREDENTIALS };
      return {
        kinesis: createKinesisClient({ ...options, kinesisEndpoint: ministack.endpoint }),
        dynamodb: createDynamoDBClient({ ...options, dynamodbEndpoint: ministack.endpoint }),
      };
    };

    it('are what cfn-lint takes', async () => {
      const templates = readdirSync(assembly).filter((name) => name.endsWith('.template.json'));
      const lint = findPythonTool('cfn-lint') as string;
      await run(lint, ['--ignore-checks', 'W', '--', ...templates.map((name) => join(assembly, name))]);
    });

    it('make the stream and the tables', async () => {
      const { kinesis, dynamodb } = clients();
      const { StreamDescription } = await kinesis.send(
        new DescribeStreamCommand({ StreamName: staging.stream.name }),
      );
      expect(StreamDescription).toMatchObject({ StreamStatus: 'ACTIVE', RetentionPeriodHours: 24 });
      expect(StreamDescription?.Shards).toHaveLength(2);
      const { Table } = await dynamodb.send(
        new DescribeTableCommand({ TableName: 'anomaly-stream-lambda-records' }),
      );
      expect(Table?.KeySchema).toEqual([{ AttributeName: 'id', KeyType: 'HASH' }]);
      expect(Table?.GlobalSecondaryIndexes?.map((index) => index.IndexName)).toEqual(['anomalies']);
      kinesis.destroy();
      dynamodb.destroy();
    });

    it('make the repositories, as CloudFormation lists them', async () => {
      const answer = await fetch(ministack.endpoint, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-amz-json-1.1',
          'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.DescribeRepositories',
          authorization: `AWS4-HMAC-SHA256 Credential=local/20260101/${REGION}/ecr/aws4_request, SignedHeaders=host, Signature=0`,
        },
        body: '{}',
      });
      const { repositories } = (await answer.json()) as {
        repositories: { repositoryName: string; imageTagMutability: string }[];
      };
      const ours = repositories.filter((r) => r.repositoryName.startsWith('weir/'));
      expect(ours.map((r) => [r.repositoryName, r.imageTagMutability]).sort()).toEqual([
        ['weir/consumer', 'IMMUTABLE'],
        ['weir/controller', 'IMMUTABLE'],
        ['weir/producer', 'IMMUTABLE'],
      ]);
    });

    it('are up to date after a second deployment, which changes nothing', async () => {
      const output = await cdk('deploy', '*', '--require-approval', 'never');
      expect(output.match(/\(no changes\)/g)).toHaveLength(5);
    });

    it('run the function on events that the producer put, and it scores them', async () => {
      producer = await spawnService({
        name: 'producer',
        entry: 'services/producer/main.ts',
        env: { ...env, STREAM_NAME: staging.stream.name },
      });
      const ids: string[] = [];
      for (const amount of [10, 1500.5]) {
        const answer = await fetch(`http://127.0.0.1:${producer.ports.port}/send`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ source: 'sensor-001', amount, timestamp: '2026-01-15T10:30:00Z' }),
        });
        expect(answer.status).toBe(200);
        ids.push(((await answer.json()) as { payload: { request_id: string } }).payload.request_id);
      }
      const { dynamodb } = clients();
      const deadline = Date.now() + SCORED_TIMEOUT_MS;
      let found: Record<string, { anomaly?: boolean; score: number }> = {};
      while (Object.keys(found).length < ids.length && Date.now() < deadline) {
        await sleep(250);
        found = {};
        for await (const { Items = [] } of paginateScan(
          { client: dynamodb },
          { TableName: 'anomaly-stream-lambda-records' },
        ))
          for (const item of Items)
            found[item.id?.S ?? ''] = {
              anomaly: item.is_anomaly?.BOOL ?? false,
              score: Number(item.anomaly_score?.N),
            };
      }
      dynamodb.destroy();
      expect(found, ministack.output()).toEqual({
        [ids[0] as string]: { anomaly: false, score: 0.01 },
        [ids[1] as string]: { anomaly: true, score: 1.5005 },
      });
    });
  },
);
