import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { streamScalerSpec } from '../../../cdk8s/crd/spec.ts';
import { API_VERSION, KIND, type StreamScaler } from '../../../cdk8s/crd/stream-scaler.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { toRow } from '../../shared/kcl/lease-row.ts';
import { listShards } from '../../shared/list-shards.ts';
import { createLogger } from '../../shared/log.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type FaultProxy, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { type KinesisDouble, startKinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { FakeApiServer, type StoredObject } from '../../testkit/kube/fake-api-server.ts';
import { streamActive } from '../../testkit/provision.ts';
import { TestStack } from '../../testkit/stack.ts';
import { KubeClient } from '../runtime/api/client.ts';
import { Transport } from '../runtime/api/transport.ts';
import { Store } from '../runtime/cache/store.ts';
import { EventRecorder } from '../runtime/event-recorder.ts';
import { createRuntimeMetrics } from '../runtime/metrics.ts';
import { ScaleClient } from '../runtime/scale-client.ts';
import { StatusWriter } from '../runtime/status.ts';
import { Actor } from './actor.ts';
import { AwsPool } from './aws-pool.ts';
import { Conflicts } from './conflicts.ts';
import { createScalerMetrics } from './metrics.ts';
import { StreamScalerReconciler } from './reconciler.ts';
import { Targets } from './target.ts';

const SCALERS = 'apis/weir.dev/v1alpha1/streamscalers';
const DEPLOYMENTS = 'apis/apps/v1/deployments';
const RESOURCE = { group: 'weir.dev', version: 'v1alpha1', plural: 'streamscalers', namespaced: true };

/** The services' clock is ahead by this, in ms: a tick passes with each look. */
let ahead = 0;
const clock: Clock = { ...systemClock, now: () => Date.now() + ahead };

let server: FakeApiServer;
let double: KinesisDouble;
let proxy: FaultProxy;
let stack: TestStack;

beforeEach(async () => {
  server = await FakeApiServer.start();
  server.pages.set('/apis/apps/v1', {
    resources: [
      { name: 'deployments', kind: 'Deployment', namespaced: true },
      { name: 'deployments/scale', kind: 'Scale', namespaced: true },
    ],
  });
  double = await startKinesisDouble({ changeMs: 30 });
  proxy = await startFaultProxy(double.endpoint);
  stack = await TestStack.create({ kinesis: double.endpoint, dynamodb: inject('dynamodbEndpoint') });
  server.put(DEPLOYMENTS, {
    metadata: { name: 'consumer', namespace: 'a' },
    spec: { replicas: 1 },
    status: { readyReplicas: 1 },
  });
  server.put(SCALERS, {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name: 's', namespace: 'a', generation: 1 },
    spec: streamScalerSpec.parse({
      stream: { name: stack.resources.stream },
      consumer: { leaseTable: stack.resources.leaseTable },
      scaleTargetRef: { name: 'consumer' },
      replicas: { min: 1, max: 4 },
      shards: { min: 1, max: 4 },
      mode: 'Full',
    }),
  });
  await saturate();
});
afterEach(async () => {
  await stack.close();
  await proxy.stop();
  await double.stop();
  await server.stop();
});

const stored = () => server.get(SCALERS, 'a', 's') as StoredObject & Pick<StreamScaler, 'status'>;
const ledger = () => stored().status?.reshardBudget;
const openShards = async () =>
  (await listShards(stack.kinesis, stack.resources.stream)).filter(({ open }) => open).length;

/** Lease rows of a group whose shards take all that they can: 4 shards are needed, and more than one pod. */
async function saturate(): Promise<void> {
  for (const shard of await listShards(stack.kinesis, stack.resources.stream)) {
    const row = toRow({
      leaseKey: shard.shardId,
      leaseOwner: shard.open ? 'consumer-0' : undefined,
      leaseCounter: Date.now(),
      checkpoint: { sequenceNumber: shard.open ? 'TRIM_HORIZON' : 'SHARD_END', subSequenceNumber: 0 },
      ownerSwitchesSinceCheckpoint: 0,
      parentShardIds: shard.parentShardIds,
      childShardIds: [],
      hashKeyRange: shard.hashKeyRange,
      startedAt: undefined,
      workerAddress: undefined,
      tenure: undefined,
      report: {
        reportedAt: clock.now(),
        millisBehindLatest: 0,
        recordsPerSecond: 1_000,
        bytesPerSecond: 100_000,
        busyShare: 0.95,
        lastArrivalAt: clock.now(),
      },
    });
    await stack.dynamodb.send(new PutItemCommand({ TableName: stack.resources.leaseTable, Item: row }));
  }
}

/** A controller process: as new, and gone after one look, however that ended. */
async function lookOnce(): Promise<void> {
  const log = createLogger('test', 'silent');
  const transport = new Transport(server.kubeConfig(), systemClock, 'test');
  const client = new KubeClient(transport);
  const registry = createRegistry('test');
  const runtimeMetrics = createRuntimeMetrics(registry);
  const store = new Store<StreamScaler>(() => {});
  store.upsert(stored() as unknown as StreamScaler);
  const aws = new AwsPool({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    kinesisEndpoint: proxy.endpoint,
    dynamodbEndpoint: inject('dynamodbEndpoint'),
  });
  const recorder = new EventRecorder({
    client,
    component: 'test',
    clock: clock,
    log,
    metrics: runtimeMetrics,
  });
  const shared = {
    targets: new Targets(client, new ScaleClient(client, clock), log),
    status: new StatusWriter<StreamScaler>(client, RESOURCE, 'test'),
    recorder,
    aws,
    metrics: createScalerMetrics(registry),
    clock: clock,
    log,
  };
  const reconciler = new StreamScalerReconciler({
    ...shared,
    store,
    actor: new Actor(shared),
    conflicts: new Conflicts(client, clock),
    streamEndpoints: [],
    writeThrottles: false,
    tickMs: 1_000,
  });
  await reconciler.reconcile('a/s', new AbortController().signal).catch(() => {});
  await recorder.stop(200);
  aws.close();
  transport.close();
}

const settled = async () => {
  const calls = ledger()?.calls ?? [];
  return (
    calls.length > 0 && calls.every(({ outcome }) => outcome === 'Accepted') && (await openShards()) === 4
  );
};

/** Looks again and again, a tick apart and each time as a new process, until all is as it should be, or `until` says so. */
async function look(until: () => boolean = () => false): Promise<void> {
  for (let i = 0; i < 12 && !until() && !(await settled()); i++) {
    await streamActive(stack.kinesis, stack.resources.stream);
    ahead += 15_000;
    await saturate();
    await lookOnce();
  }
}

const replicas = () =>
  (server.get(DEPLOYMENTS, 'a', 'consumer') as unknown as { spec: { replicas: number } }).spec.replicas;
const writes = () => server.requests.filter(({ method }) => method === 'PUT' || method === 'PATCH').length;

/** What ends a controller's life: at its n-th write, or at its reshard call. @returns whether it is dead. */
const DEATHS: [string, () => () => boolean][] = [
  ['at no point', () => () => false],
  ...[1, 2, 3, 4, 5, 6, 7].flatMap((n) =>
    (['cut', 'lose-answer'] as const).map((fault): [string, () => () => boolean] => [
      `at its write ${n}, ${fault === 'cut' ? 'before' : 'after'} it was stored`,
      () => {
        server.fault = ({ method }) => {
          if (method !== 'PUT' && method !== 'PATCH') return undefined;
          const at = writes();
          // From the n-th write on nothing goes out any more.
          return at === n ? fault : at > n ? 'cut' : undefined;
        };
        return () => writes() >= n;
      },
    ]),
  ),
  ...(['lost-answer', 'reset'] as const).map((kind): [string, () => () => boolean] => [
    `${kind === 'reset' ? 'before' : 'after'} AWS got the reshard call`,
    () => {
      proxy.plan('UpdateShardCount', { kind });
      return () => proxy.operations.includes('UpdateShardCount');
    },
  ]),
];

describe('a controller that dies in the middle of a look', () => {
  it.each(DEATHS)('%s: the next one ends it with one reshard call, counted once', async (_where, die) => {
    await look(die());
    // Before AWS heard of a call it was written down.
    if ((double.calls.get('UpdateShardCount') ?? 0) > 0) expect(ledger()?.used).toBe(1);
    server.fault = () => undefined;
    await look();
    expect(await openShards()).toBe(4);
    expect(replicas()).toBeGreaterThan(1);
    expect(ledger()).toMatchObject({ used: 1, calls: [{ from: 2, to: 4, outcome: 'Accepted' }] });
    expect(double.calls.get('UpdateShardCount')).toBe(1);
  });

  it('does not act on a view that somebody else has changed since', async () => {
    server.fault = ({ path }) => {
      // Another leader writes while this one reads the target.
      if (path.endsWith('/scale') && server.requests.filter((r) => r.path === path).length === 1) {
        server.put(SCALERS, { ...stored(), metadata: { ...stored().metadata } });
      }
      return undefined;
    };
    await lookOnce();
    expect(double.calls.get('UpdateShardCount')).toBeUndefined();
    expect(replicas()).toBe(1);
  });
});
