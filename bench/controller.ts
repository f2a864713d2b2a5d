import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { parse } from 'yaml';
import { streamScalerSpec } from '../cdk8s/crd/spec.ts';
import { API_VERSION, KIND } from '../cdk8s/crd/stream-scaler.ts';
import { toRow } from '../services/shared/kcl/lease-row.ts';
import { listShards } from '../services/shared/list-shards.ts';
import { startDynalite } from '../services/testkit/emulators.ts';
import { startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { FakeApiServer } from '../services/testkit/kube/fake-api-server.ts';
import { spawnService } from '../services/testkit/service-process.ts';
import { TestStack } from '../services/testkit/stack.ts';
import { type BenchCase, cpuSeconds } from './report.ts';

const SCALERS = 'apis/weir.dev/v1alpha1/streamscalers';
const TICK_MS = 15_000;
const WARM_UP_MS = 20_000;
const WINDOW_MS = 2 * TICK_MS;
const REPORT_MS = 5_000;
const SHARDS = 4;

/**
 * What a controller costs: the bundle in a process of its own, at the tick of production, against an API server, streams
 * and a lease table that answer at once. Each StreamScaler has its own stream of four shards and its own target; the lease
 * table is shared, as the rows of all are alike. An event is one look at one StreamScaler.
 */
export async function benchController(only: string): Promise<BenchCase[]> {
  const sizes = [100, 1_000].filter((size) => `${size} StreamScalers`.includes(only));
  execFileSync(process.execPath, ['scripts/build.ts', 'controller'], { stdio: 'ignore' });
  const cases: BenchCase[] = [];
  for (const size of sizes) cases.push(await run(size));
  return cases;
}

async function run(size: number): Promise<BenchCase> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const api = await FakeApiServer.start();
  const double = await startKinesisDouble({ limits: 'none' });
  const dynamodb = await startDynalite();
  const stack = await TestStack.create(
    { kinesis: double.endpoint, dynamodb: dynamodb.endpoint },
    { shards: SHARDS },
  );
  fill(api, size, stack.resources.leaseTable, (stream) => double.createStream(stream, SHARDS));
  await report(stack);
  const reporting = setInterval(() => void report(stack), REPORT_MS);
  const kubeConfig = join(folder, 'kubeconfig');
  writeFileSync(kubeConfig, kubeConfigOf(api.url), { mode: 0o600 });
  const controller = await spawnService({
    name: 'controller',
    entry: 'dist/controller/main.js',
    env: {
      ...stack.env,
      ...podEnv(),
      KUBECONFIG: kubeConfig,
      HOME: folder,
      TICK_MS: String(TICK_MS),
      KEDA_PORT: '0',
    },
  });
  try {
    await sleep(WARM_UP_MS);
    const looks: number[] = [];
    api.fault = ({ path }) => {
      if (path.endsWith('/status')) looks.push(performance.now());
      return undefined;
    };
    const cpuBefore = cpuSeconds(controller.pid);
    const startedAt = performance.now();
    await sleep(WINDOW_MS);
    const seconds = (performance.now() - startedAt) / 1_000;
    const cpu = cpuSeconds(controller.pid) - cpuBefore;
    const perSecond = new Map<number, number>();
    for (const at of looks) {
      const second = Math.floor((at - startedAt) / 1_000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    return {
      name: `${size} StreamScalers`,
      events: looks.length,
      seconds,
      eventsPerSecond: looks.length / seconds,
      cpuSecondsPer10k: (cpu / looks.length) * 10_000,
      coreShare: cpu / seconds,
      residentBytes: residentBytes(controller.pid),
      busiestSecondShare: Math.max(...perSecond.values()) / (looks.length / seconds),
    };
  } finally {
    clearInterval(reporting);
    await controller.stop();
    await stack.close();
    await dynamodb.stop();
    await double.stop();
    await api.stop();
    rmSync(folder, { recursive: true });
  }
}

function fill(
  api: FakeApiServer,
  size: number,
  leaseTable: string,
  createStream: (name: string) => void,
): void {
  api.pages.set('/apis/apps/v1', {
    resources: [
      { name: 'deployments', kind: 'Deployment', namespaced: true },
      { name: 'deployments/scale', kind: 'Scale', namespaced: true },
    ],
  });
  for (let i = 0; i < size; i++) {
    const metadata = { name: `s${i}`, namespace: `team-${i % 10}` };
    createStream(`stream-${i}`);
    api.put('apis/apps/v1/deployments', { metadata, spec: { replicas: 2 }, status: { readyReplicas: 2 } });
    api.put(SCALERS, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { ...metadata, generation: 1 },
      spec: streamScalerSpec.parse({
        stream: { name: `stream-${i}` },
        consumer: { leaseTable },
        scaleTargetRef: { name: metadata.name },
        replicas: { min: 2, max: 4 },
        mode: 'ReplicasOnly',
      }),
    });
  }
}

/** Lease rows of a group that keeps up. */
async function report({ kinesis, dynamodb, resources }: TestStack): Promise<void> {
  for (const shard of await listShards(kinesis, resources.stream)) {
    const row = toRow({
      leaseKey: shard.shardId,
      leaseOwner: 'consumer-0',
      leaseCounter: Date.now(),
      checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
      ownerSwitchesSinceCheckpoint: 0,
      parentShardIds: [],
      childShardIds: [],
      hashKeyRange: shard.hashKeyRange,
      startedAt: undefined,
      workerAddress: undefined,
      tenure: undefined,
      report: {
        reportedAt: Date.now(),
        millisBehindLatest: 0,
        recordsPerSecond: 300,
        bytesPerSecond: 90_000,
        busyShare: 0.6,
        lastArrivalAt: Date.now(),
      },
    });
    await dynamodb.send(new PutItemCommand({ TableName: resources.leaseTable, Item: row }));
  }
}

/** What its container is given besides its configuration: how V8 is to stay within the memory. */
function podEnv(): Record<string, string> {
  const { spec } = parse(readFileSync('charts/prod/controller/deployment.yaml', 'utf8'));
  const entries: { name: string; value: string }[] = spec.template.spec.containers[0].env;
  return Object.fromEntries(entries.map(({ name, value }) => [name, value]));
}

function kubeConfigOf(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'bench',
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
    clusters: [{ name: 'bench', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'bench', user: { token: 'bench' } }],
  });
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024;
}
