import { createServer } from 'node:http';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { PAUSED_ANNOTATION } from '../../cdk8s/crd/stream-scaler.ts';
import type { KubeObject } from '../../services/controller/runtime/api/client.ts';
import { DELETION_COST } from '../../services/controller/streamscaler/deletion-cost.ts';
import { leaderRules, scalerRules } from '../../services/controller/streamscaler/rbac.ts';
import { close, listen } from '../../services/shared/server.ts';
import { startCloudWatchDouble } from '../../services/testkit/cloudwatch-double.ts';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { start } from './at-work.ts';
import { type Cluster, describeWithCluster } from './cluster.ts';
import { kedaClient } from './keda-client.ts';
import { SCALERS } from './scalers.ts';
import { DEPLOYMENTS, PODS, Scenario, STATEFUL_SETS } from './scenario.ts';

const AT_ONCE = { behavior: { scaleDown: { stabilizationWindowSeconds: 0 } } };
const BEHIND = { lagSeconds: 300, recordsPerSecond: 200, bytesPerSecond: 20_000, busyShare: 1 };
const IDLE = { lagSeconds: 0, recordsPerSecond: 1, bytesPerSecond: 100, busyShare: 0.01 };
const HPAS = { group: 'autoscaling', version: 'v2', plural: 'horizontalpodautoscalers', namespaced: true };
const TIMEOUT_MS = 90_000;

let cluster: Cluster;

describeWithCluster('the controller', () => {
  beforeAll(async () => {
    cluster = await Scenario.cluster();
  }, TIMEOUT_MS);
  afterAll(() => cluster?.stop());

  // A reshard is confirmed for ten seconds: what waits for that waits beside the others.
  describe.concurrent('with shards to set', { timeout: TIMEOUT_MS }, withShards);
  describe.concurrent('with replicas to set', () => {
    describe('one step after the other', { concurrent: false }, withReplicas);
  });

  it('uses each right of its Role, and asked for no other', () => {
    const used = new Set<string>();
    const refused: string[] = [];
    for (const { user, verb, objectRef, responseStatus, requestURI } of cluster.audit()) {
      if (user.username !== 'controller' || !objectRef) continue;
      const resource = [objectRef.resource, objectRef.subresource].filter(Boolean).join('/');
      const right = `${verb} ${objectRef.apiGroup ?? ''} ${resource}`;
      if (responseStatus?.code !== 403) used.add(right);
      // The one kind that a test above named without the right to it.
      else if (objectRef.resource !== 'replicasets') refused.push(requestURI);
    }
    const granted = [...scalerRules(), ...leaderRules()].flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group} ${resource}`)),
      ),
    );
    expect(refused).toEqual([]);
    expect([...used].sort()).toEqual([...new Set(granted)].sort());
  });
});

/** A test in a namespace of its own, with a stream of four shards and a consumer. */
function inNamespace(namespace: string, test: (scenario: Scenario) => Promise<void>): () => Promise<void> {
  return async () => {
    const options = { in: { cluster, namespace }, shards: 4 };
    const scenario = await Scenario.start(inject('dynamodbEndpoint'), options);
    try {
      await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'consumer');
      await test(scenario);
    } finally {
      await scenario.stop();
    }
  };
}

async function metricsOf({ ports }: ServiceProcess): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${ports.adminPort}/metrics`)).text();
}

function withShards(): void {
  it(
    'scales a StatefulSet, and reshards when writes saturate, with each call in the ledger',
    inNamespace('saturated', async (scenario) => {
      Object.assign(scenario.reports, { ...BEHIND, lagSeconds: 0, recordsPerSecond: 990, busyShare: 0.9 });
      await scenario.createWorkload(STATEFUL_SETS, 'StatefulSet', 'ordered');
      await scenario.createScaler('full', {
        mode: 'Full',
        scaleTargetRef: { kind: 'StatefulSet', name: 'ordered' },
        replicas: { min: 1, max: 8 },
        shards: { min: 1, max: 6 },
      });
      await start(scenario);
      await waitFor(async () => (await scenario.replicas('ordered', STATEFUL_SETS)) > 1, 15_000);
      await waitFor(async () => (await scenario.openShards()) > 4, 30_000);
      // Calm: what one call brought is enough.
      Object.assign(scenario.reports, { recordsPerSecond: 500, busyShare: 0.5 });
      const { status } = await waitFor(async () => {
        const scaler = await scenario.scaler('full');
        const ledger = scaler.status?.reshardBudget;
        return ledger?.calls.every((call) => call.outcome === 'Accepted') && scaler;
      });
      expect(status?.reshardBudget?.used).toBe(scenario.double.calls.get('UpdateShardCount'));
      expect(status?.reshardBudget?.calls[0]).toMatchObject({ operation: 'UpdateShardCount', from: 4 });
      await scenario.condition('full', 'AbleToReshard', {});
      const told = await waitFor(async () =>
        (await scenario.events('full')).find((e) => e.reason === 'Resharded'),
      );
      expect(told.type).toBe('Normal');
    }),
  );

  it(
    'leaves the shards of one stream to one StreamScaler, since AWS counts the calls of both',
    inNamespace('shared', async (scenario) => {
      const shards = { min: 1, max: 10 };
      await scenario.createScaler('first', { mode: 'Full', shards });
      await start(scenario);
      await scenario.condition('first', 'Ready', { status: 'True' });
      await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'another');
      await scenario.createScaler('second', { mode: 'Full', shards, scaleTargetRef: { name: 'another' } });
      const { message } = await scenario.condition('second', 'AbleToReshard', { reason: 'Conflict' });
      expect(message).toContain('StreamScaler shared/first');
      expect((await scenario.scaler('second')).status?.reshardBudget).toEqual({ used: 0, calls: [] });
    }),
  );

  it(
    'makes shards for what producers are refused, which only CloudWatch knows',
    inNamespace('refused', async (scenario) => {
      const cloudwatch = await startCloudWatchDouble();
      try {
        Object.assign(scenario.reports, { recordsPerSecond: 600, busyShare: 0.6 });
        const { stream } = scenario.stack.resources;
        for (let minutes = 1; minutes <= 5; minutes++) {
          const from = Math.floor(Date.now() / 60_000) * 60_000 - minutes * 60_000;
          cloudwatch.put(stream, 'IncomingRecords', from, 60_000);
          cloudwatch.put(stream, 'WriteProvisionedThroughputExceeded', from, 40_000);
        }
        await scenario.createScaler('full', {
          mode: 'Full',
          replicas: { min: 1, max: 8 },
          shards: { min: 1, max: 12 },
        });
        await start(scenario, {
          WRITE_THROTTLES: 'cloudwatch',
          AWS_ENDPOINT_URL_CLOUDWATCH: cloudwatch.endpoint,
        });
        await waitFor(async () => (await scenario.openShards()) > 4, 30_000);
        const { message } = await waitFor(async () =>
          (await scenario.events('full')).find((e) => e.reason === 'Resharded'),
        );
        expect(message).toContain('40 % of what they sent was refused');
        await scenario.stopControllers();
      } finally {
        await cloudwatch.stop();
      }
    }),
  );
}

function withReplicas(): void {
  let scenario: Scenario;
  let controller: ServiceProcess;

  beforeAll(async () => {
    const options = { in: { cluster, namespace: 'replicas' }, shards: 4 };
    scenario = await Scenario.start(inject('dynamodbEndpoint'), options);
    await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'consumer');
    controller = await start(scenario);
  }, TIMEOUT_MS);
  afterAll(() => scenario?.stop());

  it('scales out on lag and tells why: status, conditions, Event, metric', async () => {
    Object.assign(scenario.reports, BEHIND);
    await scenario.createScaler('lag', { mode: 'ReplicasOnly', replicas: { min: 1, max: 4 }, ...AT_ONCE });
    await waitFor(async () => (await scenario.replicas('consumer')) === 4, 15_000);
    const { status, metadata } = await waitFor(async () => {
      const scaler = await scenario.scaler('lag');
      return scaler.status?.replicas?.current === 4 && scaler;
    });
    expect(status).toMatchObject({
      observedGeneration: metadata.generation,
      lag: { maxSeconds: 300, shards: 4, unknownShards: 0 },
      replicas: { current: 4, desired: 4 },
      shards: { open: 4 },
    });
    const conditions = Object.fromEntries((status?.conditions ?? []).map((c) => [c.type, c.status]));
    expect(conditions).toMatchObject({ Ready: 'True', AbleToScale: 'True', ScalingActive: 'True' });
    // The first look may still have seen the report before.
    const told = /^Scales out from \d to 4 replicas: .*5 min behind/;
    await waitFor(async () => (await scenario.events('lag')).some(({ message }) => told.test(message)));
    const text = await metricsOf(controller);
    expect(text).toMatch(
      /weir_scaler_lag_seconds\{namespace="replicas",scaler="lag",service="controller"\} 300/,
    );
    expect(text).toMatch(/weir_scaler_replicas_desired\{[^}]*\} 4/);
    expect(text).toMatch(/controller_runtime_reconcile_total\{[^}]*result="requeue_after"[^}]*\} [1-9]/);
  });

  it('takes the pod with the least to hand over when it scales in', async () => {
    const { client, reports } = scenario;
    for (let i = 0; i < 4; i++) {
      await client.create(PODS, scenario.namespace, {
        metadata: { name: `consumer-${i}`, labels: { app: 'consumer' } },
        spec: { containers: [{ name: 'c', image: 'c' }] },
      });
    }
    // Three shards with the pod 2, one with the pod 1, none with the others.
    Object.assign(reports, IDLE, {
      owner: (index: number) => (index === 0 ? 'consumer-1-w' : 'consumer-2-w'),
    });
    await waitFor(async () => (await scenario.replicas('consumer')) === 1, 15_000);
    const { items } = await client.list<KubeObject>(PODS, { namespace: scenario.namespace });
    const costs = Object.fromEntries(
      items.map(({ metadata }) => [metadata.name, Number(metadata.annotations?.[DELETION_COST] ?? 0)]),
    );
    expect(costs['consumer-2']).toBeGreaterThan(costs['consumer-1']!);
    expect(costs['consumer-1']).toBeGreaterThan(costs['consumer-0']!);
    expect(costs['consumer-0']).toBe(costs['consumer-3']);
  });

  it('decides at once anew when the spec changes, and only tells in mode Recommend', async () => {
    await scenario.patchScaler('lag', { spec: { mode: 'Recommend' } });
    await scenario.condition('lag', 'ScalingActive', { reason: 'RecommendOnly' });
    Object.assign(scenario.reports, BEHIND);
    await waitFor(async () => (await scenario.scaler('lag')).status?.replicas?.desired === 4);
    expect(await scenario.replicas('consumer')).toBe(1);
  });

  it('changes nothing while it is paused', async () => {
    await scenario.patchScaler('lag', { metadata: { annotations: { [PAUSED_ANNOTATION]: 'true' } } });
    await scenario.patchScaler('lag', { spec: { mode: 'ReplicasOnly' } });
    await scenario.condition('lag', 'ScalingActive', { reason: 'Paused' });
    expect(await scenario.replicas('consumer')).toBe(1);
    await scenario.patchScaler('lag', { metadata: { annotations: { [PAUSED_ANNOTATION]: null } } });
    await waitFor(async () => (await scenario.replicas('consumer')) === 4, 15_000);
  });

  it('tells KEDA, over gRPC and as JSON, what it decided on', async () => {
    const { call, close: closeClient } = kedaClient(controller);
    const scaledObjectRef = {
      name: 'consumer-keda',
      namespace: scenario.namespace,
      scalerMetadata: { streamScaler: 'lag' },
    };
    try {
      expect(await call('IsActive', scaledObjectRef)).toEqual({ result: true });
      const metricName = 's0-weir-desired-replicas';
      expect(await call('GetMetrics', { scaledObjectRef, metricName })).toEqual({
        metricValues: [{ metricName, metricValue: 4, metricValueFloat: 4 }],
      });
      const unknown = { ...scaledObjectRef, scalerMetadata: { streamScaler: 'none' } };
      await expect(call('IsActive', unknown)).rejects.toMatchObject({ code: status.NOT_FOUND });
    } finally {
      closeClient();
    }
    const decisions = `http://127.0.0.1:${controller.ports.port}/decisions/${scenario.namespace}`;
    expect(await (await fetch(`${decisions}/lag`)).json()).toMatchObject({ replicas: { desired: 4 } });
    expect((await fetch(`${decisions}/none`)).status).toBe(404);
  });

  it('calls no endpoint that somebody wrote into a spec, unless it is told to', async () => {
    let called = 0;
    const somebody = createServer((_request, response) => {
      called++;
      response.end();
    });
    const port = await listen(somebody, 0, '127.0.0.1');
    const endpoint = `http://127.0.0.1:${port}`;
    await scenario.createScaler('astray', {
      stream: { name: 'x', endpoint },
      mode: 'Full',
      shards: { max: 2 },
    });
    const { message } = await scenario.condition('astray', 'Ready', { reason: 'EndpointNotAllowed' });
    expect(message).toContain(endpoint);
    expect(called).toBe(0);
    await scenario.client.delete(SCALERS, { namespace: scenario.namespace, name: 'astray' });
    await close(somebody);
  });

  describe('when somebody else sets the same replicas', () => {
    it('leaves them to the older StreamScaler, twice told, once written', async () => {
      const rival = { mode: 'ReplicasOnly', replicas: { min: 1, max: 2 }, ...AT_ONCE };
      for (let round = 1; round <= 2; round++) {
        await scenario.patchScaler('lag', { spec: { mode: 'ReplicasOnly' } });
        if (round === 1) await scenario.createScaler('rival', rival);
        await scenario.condition('rival', 'AbleToScale', { status: 'False', reason: 'Conflict' });
        await scenario.condition('rival', 'Ready', { status: 'False', reason: 'Conflict' });
        expect(await scenario.replicas('consumer')).toBe(4);
        await scenario.patchScaler('lag', { spec: { mode: 'Recommend' } });
        await scenario.condition('rival', 'AbleToScale', { status: 'True' });
        await waitFor(async () => (await scenario.replicas('consumer')) === 2, 15_000);
        await scenario.client.patch(
          DEPLOYMENTS,
          { namespace: scenario.namespace, name: 'consumer' },
          'merge',
          {
            spec: { replicas: 4 },
          },
        );
      }
      const conflicts = (await scenario.events('rival')).filter((e) => e.reason === 'Conflict');
      expect(conflicts.map((e) => e.count)).toEqual([2]);
      expect(conflicts[0]?.message).toContain('StreamScaler lag');
      await scenario.client.delete(SCALERS, { namespace: scenario.namespace, name: 'rival' });
    });

    it('leaves them to a HorizontalPodAutoscaler', async () => {
      await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'autoscaled');
      await scenario.client.create(HPAS, scenario.namespace, {
        metadata: { name: 'by-cpu' },
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'autoscaled' },
          maxReplicas: 3,
        },
      });
      // The list of a namespace is kept for half a minute: a controller that starts sees it at once.
      await controller.stop();
      await scenario.createScaler('hpa', { mode: 'ReplicasOnly', scaleTargetRef: { name: 'autoscaled' } });
      controller = await start(scenario);
      const { message } = await scenario.condition('hpa', 'AbleToScale', { reason: 'Conflict' });
      expect(message).toContain('HorizontalPodAutoscaler by-cpu');
      expect(await scenario.replicas('autoscaled')).toBe(1);
      await scenario.client.delete(SCALERS, { namespace: scenario.namespace, name: 'hpa' });
    });
  });

  it('says what is wrong with a target, and goes on when it is mended', async () => {
    await scenario.createScaler('odd', { mode: 'ReplicasOnly', scaleTargetRef: { name: 'later' } });
    await scenario.condition('odd', 'AbleToScale', { status: 'False', reason: 'TargetNotFound' });
    await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'later');
    await scenario.condition('odd', 'AbleToScale', { status: 'True' });
    await scenario.patchScaler('odd', { spec: { scaleTargetRef: { apiVersion: 'v1', kind: 'ConfigMap' } } });
    const unscalable = await scenario.condition('odd', 'AbleToScale', { reason: 'TargetNotScalable' });
    expect(unscalable.message).toContain('has no scale subresource');
    const replicaSet = { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'x' } };
    await scenario.patchScaler('odd', { spec: replicaSet });
    const forbidden = await scenario.condition('odd', 'AbleToScale', { reason: 'PermissionMissing' });
    expect(forbidden.message).toMatch(/cannot get resource "replicasets\/scale" in API group "apps"/);
    await scenario.client.delete(SCALERS, { namespace: scenario.namespace, name: 'odd' });
    await waitFor(async () => !(await metricsOf(controller)).includes('scaler="odd"'));
  });

  it('tells how it is, and ends in its order', async () => {
    const base = `http://127.0.0.1:${controller.ports.adminPort}`;
    for (const path of ['/healthz', '/readyz'])
      expect((await fetch(`${base}${path}`)).status, path).toBe(200);
    expect(await (await fetch(`${base}/readyz`)).json()).toMatchObject({ ok: true, leading: true });
    expect(await controller.stop()).toEqual({ code: 0, signal: null });
    const lease = await scenario.client.get<{ spec: { holderIdentity: string } }>(
      { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', namespaced: true },
      { namespace: scenario.namespace, name: 'weir-controller' },
    );
    expect(lease.spec.holderIdentity).toBe('');
  });
}
