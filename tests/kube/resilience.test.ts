import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import type { KubeObject } from '../../services/controller/runtime/api/client.ts';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { describeWithCluster } from './cluster.ts';
import { kedaClient } from './keda-client.ts';
import { type OverloadProxy, startOverloadProxy } from './overload-proxy.ts';
import { DEPLOYMENTS, NAMESPACE, Scenario } from './scenario.ts';

const LEASES = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', namespaced: true };
const BUSY = { lagSeconds: 300, recordsPerSecond: 200, busyShare: 1 };
const CALM = { lagSeconds: 0, recordsPerSecond: 1, busyShare: 0.01 };
const LEASE = { namespace: NAMESPACE, name: 'weir-controller' };

interface LeaseObject extends KubeObject {
  spec: { holderIdentity: string; leaseTransitions: number };
}

describeWithCluster('controllers in a rough world', () => {
  let scenario: Scenario;
  const running: ServiceProcess[] = [];

  beforeAll(async () => {
    scenario = await Scenario.start(inject('dynamodbEndpoint'));
    await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'consumer');
    await scenario.createScaler('s', {
      mode: 'ReplicasOnly',
      replicas: { min: 1, max: 2 },
      behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
    });
  }, 90_000);
  afterAll(() => scenario?.stop());
  afterEach(async () => {
    await Promise.all(running.splice(0).map((controller) => controller.stop()));
  });

  const start = async (env: Record<string, string> = {}) => {
    const controller = await scenario.startController(env);
    running.push(controller);
    return controller;
  };
  const leads = async (controller: ServiceProcess) => {
    const answer = await fetch(`http://127.0.0.1:${controller.ports.adminPort}/readyz`);
    return ((await answer.json()) as { leading: boolean }).leading;
  };
  const metric = async (controller: ServiceProcess, pattern: RegExp) => {
    const text = await (await fetch(`http://127.0.0.1:${controller.ports.adminPort}/metrics`)).text();
    return Number(pattern.exec(text)?.[1] ?? 0);
  };
  /** Makes the load ask for the other number of replicas, and waits until they are set: somebody is at work. */
  const works = async () => {
    const before = await scenario.replicas('consumer');
    Object.assign(scenario.reports, before === 1 ? BUSY : CALM);
    await waitFor(async () => (await scenario.replicas('consumer')) !== before, 30_000);
  };
  /** Which of two leads, and which waits. */
  const pair = async () => {
    const both = [await start(), await start()] as const;
    return await waitFor(async () => {
      const [first, second] = await Promise.all(both.map(leads));
      return first === second
        ? undefined
        : first
          ? { leader: both[0], standby: both[1] }
          : { leader: both[1], standby: both[0] };
    });
  };

  describe('of two', () => {
    it('one leads, the other takes over when it is killed', async () => {
      const { leader, standby } = await pair();
      await works();
      leader.signal('SIGKILL');
      await waitFor(() => leads(standby));
      await works();
    }, 60_000);

    it('one that was frozen ends itself when it wakes up: another leads by then', async () => {
      const { leader, standby } = await pair();
      process.kill(leader.pid, 'SIGSTOP');
      await waitFor(() => leads(standby));
      process.kill(leader.pid, 'SIGCONT');
      expect(await leader.exited).toEqual({ code: 1, signal: null });
      expect(leader.lastLines().join('\n')).toContain('the leader lease is lost');
      expect(await leads(standby)).toBe(true);
    }, 60_000);

    it('one whose lease was taken ends itself with exit code 1', async () => {
      const { leader } = await pair();
      await waitFor(async () => {
        const lease = await scenario.client.get<LeaseObject>(LEASES, LEASE);
        const spec = { ...lease.spec, holderIdentity: 'thief', leaseDurationSeconds: 1 };
        return await scenario.client.update(LEASES, LEASE, { ...lease, spec });
      });
      expect(await leader.exited).toEqual({ code: 1, signal: null });
    }, 60_000);

    it('each tells KEDA the same, at once and as it changes', async () => {
      const { leader, standby } = await pair();
      const clients = [leader, standby].map(kedaClient);
      try {
        await works();
        const desired = await waitFor(async () => {
          const { status } = await scenario.scaler('s');
          return status?.replicas?.current === status?.replicas?.desired && status?.replicas?.desired;
        });
        const ref = { name: 'keda', namespace: NAMESPACE, scalerMetadata: { streamScaler: 's' } };
        for (const { call } of clients) {
          expect(await call('IsActive', ref)).toEqual({ result: true });
          expect(await call('GetMetrics', { scaledObjectRef: ref })).toMatchObject({
            metricValues: [{ metricValue: desired }],
          });
        }
        const [leads, waits] = await Promise.all(
          [leader, standby].map(async ({ ports }) => {
            const answer = await fetch(`http://127.0.0.1:${ports.port}/decisions/${NAMESPACE}/s`);
            return (await answer.json()) as { replicas: object };
          }),
        );
        expect(waits?.replicas).toEqual(leads?.replicas);
        const streams = clients.map(({ stream }) => stream('StreamIsActive', ref));
        const told: boolean[][] = [[], []];
        for (const [i, stream] of streams.entries()) {
          stream.on('data', ({ result }) => told[i]?.push(result));
          stream.on('error', () => {});
        }
        await waitFor(() => told.every((results) => results.at(-1) === true));
        // Nothing comes any more, and zero is allowed.
        await scenario.patchScaler('s', { spec: { replicas: { min: 0 } } });
        Object.assign(scenario.reports, { lagSeconds: 0, recordsPerSecond: 0, busyShare: 0 });
        await waitFor(() => told.every((results) => results.at(-1) === false), 30_000);
        expect(told).toEqual([
          [true, false],
          [true, false],
        ]);
        for (const stream of streams) stream.cancel();
      } finally {
        for (const { close } of clients) close();
        await scenario.patchScaler('s', { spec: { replicas: { min: 1 } } });
        await waitFor(async () => (await scenario.replicas('consumer')) === 1, 15_000);
      }
    }, 60_000);

    it('one that stops hands over without a gap', async () => {
      const { leader, standby } = await pair();
      expect(await leader.stop()).toEqual({ code: 0, signal: null });
      await waitFor(() => leads(standby), 1_500);
    }, 60_000);
  });

  it('a controller outlives a restart of the API server, lists anew where its version is too old, and goes on', async () => {
    // A lease that outlasts the restart: what is tried here is the watch.
    const controller = await scenario.startController({
      LEADER_LEASE_DURATION_MS: '60000',
      LEADER_RENEW_DEADLINE_MS: '50000',
    });
    running.push(controller);
    await works();
    const lists = await metric(controller, /reflector_lists_total\{[^}]*\} (\d+)/);
    await scenario.cluster.stopServer();
    await sleep(300);
    await scenario.cluster.startServer();
    await works();
    await scenario.patchScaler('s', { spec: { mode: 'Recommend' } });
    await scenario.condition('s', 'ScalingActive', { reason: 'RecommendOnly' });
    await scenario.patchScaler('s', { spec: { mode: 'ReplicasOnly' } });
    expect(await metric(controller, /reflector_errors_total\{[^}]*\} (\d+)/)).toBeGreaterThan(0);
    expect(await metric(controller, /reflector_lists_total\{[^}]*\} (\d+)/)).toBeGreaterThanOrEqual(lists);
  }, 90_000);

  describe('a controller that the API server has no room for', () => {
    let proxy: OverloadProxy;
    beforeEach(async () => {
      proxy = await startOverloadProxy(scenario.cluster, 1);
      const { cluster } = scenario;
      await start({ KUBECONFIG: cluster.kubeConfigFile(cluster.user('controller'), proxy.url) });
      await works();
    });
    afterEach(async () => {
      await Promise.all(running.splice(0).map((controller) => controller.stop()));
      await proxy.stop();
    });

    /** Makes the load ask for the other number of replicas. @returns the number of now. */
    const turn = async () => {
      const before = await scenario.replicas('consumer');
      Object.assign(scenario.reports, before === 1 ? BUSY : CALM);
      return before;
    };
    const eventCount = async () =>
      (await scenario.events('s')).reduce((sum, { count = 1 }) => sum + count, 0);

    it('comes as late as it is told, and does then what it could not', async () => {
      // Its lease it renews in time: that one has a level of its own in a real cluster, too.
      proxy.full = (path) => !path.includes('/leases/');
      const before = await turn();
      await sleep(4_000);
      proxy.full = undefined;
      const tries = Map.groupBy(proxy.refused, ({ method, path }) => `${method} ${path}`);
      expect(tries.size).toBeGreaterThan(0);
      for (const [call, times] of tries) {
        // Told to come again in a second, at a tick of half of one.
        for (const [i, { at }] of times.entries())
          if (i > 0) expect(at - (times[i - 1]?.at ?? 0), call).toBeGreaterThan(950);
      }
      expect(proxy.refused.length).toBeGreaterThan(1);
      expect(await scenario.replicas('consumer')).toBe(before);
      const told = await eventCount();
      await waitFor(async () => (await scenario.replicas('consumer')) !== before, 15_000);
      await waitFor(async () => (await eventCount()) > told);
    }, 60_000);

    it('does nothing that it could not write down', async () => {
      proxy.full = (path) => path.includes('/status');
      const before = await turn();
      await waitFor(() => proxy.refused.length > 1);
      expect(await scenario.replicas('consumer')).toBe(before);
      proxy.full = undefined;
      await waitFor(async () => (await scenario.replicas('consumer')) !== before, 15_000);
    }, 60_000);

    it('tells its Events later, each once', async () => {
      await waitFor(async () => (await eventCount()) > 0);
      const told = await eventCount();
      proxy.full = (path) => path.includes('/events');
      await works();
      await waitFor(() => proxy.refused.length > 1);
      expect(await eventCount()).toBe(told);
      proxy.full = undefined;
      await waitFor(async () => (await eventCount()) > told);
    }, 60_000);
  });

  it('a watch from a version that is too old gets 410, as the reflector takes it', async () => {
    const scalers = { group: 'weir.dev', version: 'v1alpha1', plural: 'streamscalers', namespaced: true };
    const watch = scenario.client.watch(
      scalers,
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
