import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { KinesisStreamEvent } from 'aws-lambda';
import { Aggregator } from '../services/shared/kpl/aggregate.ts';
import { EMULATOR_CREDENTIALS } from '../services/testkit/emulators.ts';
import { EventSourceMapping, type MappedRecord } from '../services/testkit/event-source-mapping.ts';
import { lambdaFunction } from '../services/testkit/lambda-bundle.ts';
import { launch } from '../services/testkit/processes.ts';
import { type BenchCase, percentile } from './report.ts';

const BUNDLE = 'dist/lambda/main.mjs';
const BATCH = 100;
/** User records in an aggregate. */
const AGGREGATE = 100;
const COLD_STARTS = 9;
const WARM_UP = 20;
const INVOCATIONS = 200;

/**
 * The function's bundle in a fresh node with a store that answers at once: how long a cold start takes (from the start of
 * the process to the loaded bundle, and the first batch), then batches of 100 records. The names tell the bundle's
 * size. Lambda's own share of a cold start, and its slower CPU at 256 MB, are not in it.
 */
export async function benchLambda(only = ''): Promise<BenchCase[]> {
  execFileSync(process.execPath, ['scripts/build.ts', 'lambda'], { stdio: 'ignore' });
  const size = `${Math.round(statSync(BUNDLE).size / 1024)} KiB`;
  const { process: store, ready } = await launch({
    name: 'dynamodb-stub',
    args: [fileURLToPath(new URL('dynamodb-stub.ts', import.meta.url))],
    env: {},
    ready: (line) => /^stub listening on (\d+)$/.exec(line)?.[1],
  });
  const options = {
    bundle: BUNDLE,
    timeoutMs: 60_000,
    env: {
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL: `http://127.0.0.1:${ready}`,
      AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
    },
  };
  const plain = await eventOf(plainRecords());
  const cases: BenchCase[] = [];
  try {
    if (`cold start, ${size}`.includes(only))
      cases.push(await coldStarts(`cold start, ${size}`, options, plain));
    const aggregated = await eventOf(aggregatedRecords());
    for (const [name, event, events] of [
      [`warm, ${BATCH} plain records`, plain, BATCH],
      [`warm, ${BATCH} aggregates of ${AGGREGATE}`, aggregated, BATCH * AGGREGATE],
    ] as const) {
      if (name.includes(only)) cases.push(await warm(name, options, event, events));
    }
  } finally {
    await store.stop();
  }
  return cases;
}

type Options = Parameters<typeof lambdaFunction>[0];

async function coldStarts(name: string, options: Options, event: KinesisStreamEvent): Promise<BenchCase> {
  const inits: number[] = [];
  const cpus: number[] = [];
  const totals: number[] = [];
  const begunAt = performance.now();
  for (let i = 0; i < COLD_STARTS; i++) {
    const sandbox = lambdaFunction(options);
    const startedAt = performance.now();
    await sandbox.invoke(event);
    totals.push(performance.now() - startedAt);
    inits.push(sandbox.initMs);
    cpus.push(sandbox.initCpuMs);
    await sandbox.stop();
  }
  const seconds = (performance.now() - begunAt) / 1000;
  return {
    name,
    events: COLD_STARTS * BATCH,
    seconds,
    eventsPerSecond: (COLD_STARTS * BATCH) / seconds,
    cpuSecondsPer10k: Number.NaN,
    initP50Ms: percentile(inits, 0.5),
    initCpuP50Ms: percentile(cpus, 0.5),
    initMaxMs: inits.at(-1) ?? Number.NaN,
    withFirstBatchP50Ms: percentile(totals, 0.5),
    withFirstBatchMaxMs: totals.at(-1) ?? Number.NaN,
  };
}

async function warm(
  name: string,
  options: Options,
  event: KinesisStreamEvent,
  perInvocation: number,
): Promise<BenchCase> {
  const sandbox = lambdaFunction(options);
  try {
    for (let i = 0; i < WARM_UP; i++) await sandbox.invoke(event);
    const latencies: number[] = [];
    const startedAt = performance.now();
    for (let i = 0; i < INVOCATIONS; i++) {
      const invokedAt = performance.now();
      await sandbox.invoke(event);
      latencies.push(performance.now() - invokedAt);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const events = INVOCATIONS * perInvocation;
    return {
      name,
      events,
      seconds,
      eventsPerSecond: events / seconds,
      cpuSecondsPer10k: Number.NaN,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
    };
  } finally {
    await sandbox.stop();
  }
}

const data = (n: number) =>
  Buffer.from(
    JSON.stringify({
      source: `sensor-${n % 50}`,
      amount: n % 500,
      timestamp: '2026-01-02T03:04:05.678Z',
      ingestion_timestamp: '2026-01-02T03:04:05.700Z',
      source_ip: '203.0.113.7',
      request_id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    }),
  );

function plainRecords(): MappedRecord[] {
  return Array.from({ length: BATCH }, (_, n) => record(n, `sensor-${n % 50}`, data(n)));
}

function aggregatedRecords(): MappedRecord[] {
  return Array.from({ length: BATCH }, (_, n) => {
    const aggregator = new Aggregator();
    for (let i = n * AGGREGATE; i < (n + 1) * AGGREGATE; i++)
      aggregator.add({ partitionKey: `sensor-${i % 50}`, data: data(i) });
    return record(n, 'a', aggregator.encode());
  });
}

function record(n: number, partitionKey: string, bytes: Buffer): MappedRecord {
  return { partitionKey, sequenceNumber: String(10n ** 55n + BigInt(n)), data: bytes, arrivedAt: Date.now() };
}

/** The records as one batch, as the mapping gives it. */
async function eventOf(records: MappedRecord[]): Promise<KinesisStreamEvent> {
  let event: KinesisStreamEvent = { Records: [] };
  const streamArn = 'arn:aws:kinesis:us-east-1:000000000000:stream/bench';
  const mapping = new EventSourceMapping({ streamArn, batchSize: BATCH }, async (given) => {
    event = given;
  });
  await mapping.run('shardId-000000000000', records);
  return event;
}
