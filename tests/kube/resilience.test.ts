import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { KubeObject } from '../../services/controller/runtime/api/client.ts';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { leads, pair, start, turn, works } from './at-work.ts';
import { type Cluster, describeWithCluster } from './cluster.ts';
import { kedaClient } from './keda-client.ts';
import { type OverloadProxy, startOverloadProxy } from './overload-proxy.ts';
import { SCALERS } from './scalers.ts';
import { DEPLOYMENTS, Scenario } from './scenario.ts';

const LEASES = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', namespaced: true };
/** Where an expiry is tried: as short as a busy machine can renew. */
const SHORT_LEASE = { LEADER_LEASE_DURATION_MS: '3000', LEADER_RENEW_DEADLINE_MS: '2500' };
const TIMEOUT_MS = 90_000;

interface LeaseObject extends KubeObject {
  spec: { holderIdentity: string; leaseTransitions: number };
}

describeWithCluster('controllers in a rough world', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Scenario.cluster();
  }, TIMEOUT_MS);
  afterAll(() => cluster?.stop());

  /** A test in a namespace of its own, beside others: with a stream, a consumer, and a StreamScaler `s` for it. */
  const inNamespace = (namespace: string, test: (scenario: Scenario) => Promise<void>) => async () => {
    const scenario = await Scenario.start(inject('dynamodbEndpoint'), { in: { cluster, namespace } });
    try {
      await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'consumer');
      await scenario.createScaler('s', {
        mode: 'ReplicasOnly',
        replicas: { min: 1, max: 2 },
        behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
      });
      await test(scenario);
    } finally {
      await scenario.stop();
    }
  };

  describe.concurrent('of two', { timeout: TIMEOUT_MS }, () => {
    it(
      'one leads, the other takes over when it is killed',
      inNamespace('killed', async (scenario) => {
        const { leader, standby } = await pair(scenario, SHORT_LEASE);
        await works(scenario);
        leader.signal('SIGKILL');
        await waitFor(() => leads(standby), 20_000);
        await works(scenario);
      }),
    );

    it(
      'one that was frozen ends itself when it wakes up: another leads by then',
      inNamespace('frozen', async (scenario) => {
        const { leader, standby } = await pair(scenario, SHORT_LEASE);
        process.kill(leader.pid, 'SIGSTOP');
        await waitFor(() => leads(standby), 20_000);
        process.kill(leader.pid, 'SIGCONT');
        expect(await leader.exited).toEqual({ code: 1, signal: null });
        expect(leader.lastLines().join('\n')).toContain('the leader lease is lost');
        expect(await leads(standby)).toBe(true);
      }),
    );

    it(
      'one whose lease was taken ends itself with exit code 1',
      inNamespace('robbed', async (scenario) => {
        const { leader } = await pair(scenario);
        const at = { namespace: scenario.namespace, name: 'weir-controller' };
        await waitFor(async () => {
          const lease = await scenario.client.get<LeaseObject>(LEASES, at);
          const spec = { ...lease.spec, holderIdentity: 'thief', leaseDurationSeconds: 1 };
          return await scenario.client.update(LEASES, at, { ...lease, spec });
        });
        expect(await leader.exited).toEqual({ code: 1, signal: null });
      }),
    );

    it(
      'each tells KEDA the same, at once and as it changes',
      inNamespace('keda', async (scenario) => {
        const { leader, standby } = await pair(scenario);
        const clients = [leader, standby].map(kedaClient);
        try {
          await works(scenario);
          const desired = await waitFor(async () => {
            const { status } = await scenario.scaler('s');
            return status?.replicas?.current === status?.replicas?.desired && status?.replicas?.desired;
          });
          const { namespace } = scenario;
          const ref = { name: 'keda', namespace, scalerMetadata: { streamScaler: 's' } };
          for (const { call } of clients) {
            expect(await call('IsActive', ref)).toEqual({ result: true });
            expect(await call('GetMetrics', { scaledObjectRef: ref })).toMatchObject({
              metricValues: [{ metricValue: desired }],
            });
          }
          const [told, waits] = await Promise.all(
            [leader, standby].map(async ({ ports }) => {
              const answer = await fetch(`http://127.0.0.1:${ports.port}/decisions/${namespace}/s`);
              return (await answer.json()) as { replicas: object };
            }),
          );
          expect(waits?.replicas).toEqual(told?.replicas);
          const streams = clients.map(({ stream }) => stream('StreamIsActive', ref));
          const active: boolean[][] = [[], []];
          for (const [i, stream] of streams.entries()) {
            stream.on('data', ({ result }) => active[i]?.push(result));
            stream.on('error', () => {});
          }
          await waitFor(() => active.every((results) => results.at(-1) === true));
          // Nothing comes any more, and zero is allowed.
          await scenario.patchScaler('s', { spec: { replicas: { min: 0 } } });
          Object.assign(scenario.reports, { lagSeconds: 0, recordsPerSecond: 0, busyShare: 0 });
          await waitFor(() => active.every((results) => results.at(-1) === false), 30_000);
          expect(active).toEqual([
            [true, false],
            [true, false],
          ]);
          for (const stream of streams) stream.cancel();
        } finally {
          for (const { close } of clients) close();
        }
      }),
    );

    it(
      'one that stops hands over without a gap',
      inNamespace('stopped', async (scenario) => {
        const { leader, standby } = await pair(scenario);
        expect(await leader.stop()).toEqual({ code: 0, signal: null });
        // A sixth of what a lease takes that is not given back.
        await waitFor(() => leads(standby), 10_000);
      }),
    );
  });

  describe.concurrent('a controller that the API server has no room for', { timeout: TIMEOUT_MS }, () => {
    const eventCount = async (scenario: Scenario) =>
      (await scenario.events('s')).reduce((sum, { count = 1 }) => sum + count, 0);
    /** With a controller at work, whose calls go through the proxy. */
    const behindProxy = (
      namespace: string,
      test: (scenario: Scenario, proxy: OverloadProxy) => Promise<void>,
    ) =>
      inNamespace(namespace, async (scenario) => {
        const proxy = await startOverloadProxy(cluster, 1);
        try {
          const KUBECONFIG = cluster.kubeConfigFile(cluster.user('controller'), proxy.url);
          await start(scenario, { KUBECONFIG });
          await works(scenario);
          await test(scenario, proxy);
        } finally {
          await scenario.stopControllers();
          await proxy.stop();
        }
      });
    const differs = (scenario: Scenario, before: number) =>
      waitFor(async () => (await scenario.replicas('consumer')) !== before, 15_000);

    it(
      'comes as late as it is told, and does then what it could not',
      behindProxy('late', async (scenario, proxy) => {
        // Its lease it renews in time: that one has a level of its own in a real cluster, too.
        proxy.full = (path) => !path.includes('/leases/');
        const before = await turn(scenario);
        const tries = () => Map.groupBy(proxy.refused, ({ method, path }) => `${method} ${path}`);
        await waitFor(() => [...tries().values()].some(({ length }) => length > 3));
        expect(await scenario.replicas('consumer')).toBe(before);
        const told = await eventCount(scenario);
        proxy.full = undefined;
        for (const [call, times] of tries()) {
          // Told to come again in a second, at a tick of half of one.
          for (const [i, { at }] of times.entries())
            if (i > 0) expect(at - (times[i - 1]?.at ?? 0), call).toBeGreaterThan(950);
        }
        await differs(scenario, before);
        await waitFor(async () => (await eventCount(scenario)) > told);
      }),
    );

    it(
      'does nothing that it could not write down',
      behindProxy('unwritten', async (scenario, proxy) => {
        proxy.full = (path) => path.includes('/status');
        const before = await turn(scenario);
        await waitFor(() => proxy.refused.length > 1);
        expect(await scenario.replicas('consumer')).toBe(before);
        proxy.full = undefined;
        await differs(scenario, before);
      }),
    );

    it(
      'tells its Events later, each once',
      behindProxy('untold', async (scenario, proxy) => {
        await waitFor(async () => (await eventCount(scenario)) > 0);
        const told = await eventCount(scenario);
        proxy.full = (path) => path.includes('/events');
        await works(scenario);
        await waitFor(() => proxy.refused.length > 1);
        expect(await eventCount(scenario)).toBe(told);
        proxy.full = undefined;
        await waitFor(async () => (await eventCount(scenario)) > told);
      }),
    );
  });

  it(
    'a controller outlives a restart of the API server, lists anew where its version is too old, and goes on',
    inNamespace('restarted', async (scenario) => {
      const controller = await start(scenario);
      await works(scenario);
      const lists = await metric(controller, /reflector_lists_total\{[^}]*\} (\d+)/);
      await cluster.stopServer();
      await sleep(300);
      await cluster.startServer();
      await works(scenario);
      await scenario.patchScaler('s', { spec: { mode: 'Recommend' } });
      await scenario.condition('s', 'ScalingActive', { reason: 'RecommendOnly' });
      expect(await metric(controller, /reflector_errors_total\{[^}]*\} (\d+)/)).toBeGreaterThan(0);
      expect(await metric(controller, /reflector_lists_total\{[^}]*\} (\d+)/)).toBeGreaterThanOrEqual(lists);
    }),
    TIMEOUT_MS,
  );

  it('a watch from a version that is too old gets 410, as the reflector takes it', async () => {
    const watch = cluster
      .client()
      .watch(
        SCALERS,
        { resourceVersion: '1', timeoutSeconds: 5, signal: AbortSignal.timeout(10_000) },
        () => {},
      );
    await expect(
      (async () => {
        for await (const _event of watch);
      })(),
    ).rejects.toMatchObject({ kind: 'gone' });
  });
});

async function metric(controller: ServiceProcess, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${controller.ports.adminPort}/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? 0);
}
