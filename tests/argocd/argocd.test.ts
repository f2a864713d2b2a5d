import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { environments } from '../../cdk8s/environments/environments.ts';
import type { KubeClient, KubeObject, Resource } from '../../services/controller/runtime/api/client.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { Cluster, describeWithTools } from '../kube/cluster.ts';
import { SCALERS } from '../kube/scalers.ts';
import { DEPLOYMENTS } from '../kube/scenario.ts';
import { ARGOCD_USER, ArgoCd } from './argocd.ts';
import { Repository } from './repository.ts';
import { AUTOSCALERS, Surroundings } from './surroundings.ts';

const FIRST_SYNC_MS = 180_000;
const BUDGETS: Resource = {
  group: 'policy',
  version: 'v1',
  plural: 'poddisruptionbudgets',
  namespaced: true,
};
const MONITORS: Resource = {
  group: 'monitoring.coreos.com',
  version: 'v1',
  plural: 'podmonitors',
  namespaced: true,
};
/** Kinds of other people's operators, whose schemas are not what is tried here. */
const FOREIGN_KINDS = [
  { group: 'monitoring.coreos.com', version: 'v1', kind: 'PodMonitor', plural: 'podmonitors' },
  { group: 'monitoring.coreos.com', version: 'v1', kind: 'PrometheusRule', plural: 'prometheusrules' },
  {
    group: 'secrets-store.csi.x-k8s.io',
    version: 'v1',
    kind: 'SecretProviderClass',
    plural: 'secretproviderclasses',
  },
];

/** What the admission policy says of an image. */
const REFUSED = /must be Weir's own, by digest/;

interface Deployment extends KubeObject {
  spec: { replicas?: number; template: { spec: { containers: { image: string }[] } } };
}

const dev = environments.find(({ name }) => name === 'dev')!;
const namespace = dev.namespace;
const app = (name: string) => `weir-dev-${name}`;

// One drill: each test goes on from where the one before it ended.
describeWithTools(
  'with a real Argo CD',
  ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'argocd', 'miniredis'],
)('Argo CD with charts/', () => {
  let cluster: Cluster;
  let client: KubeClient;
  let surroundings: Surroundings;
  let argocd: ArgoCd;
  let repository: Repository;

  const deployment = (name: string) =>
    client.get<Deployment>(DEPLOYMENTS, { namespace, name: `weir-${name}` });
  const exists = async (resource: Resource, name: string) =>
    await client.get(resource, { namespace, name }).then(
      () => true,
      () => false,
    );
  const scale = (name: string, replicas: number) =>
    client.patch(
      DEPLOYMENTS,
      { namespace, name: `weir-${name}` },
      'merge',
      { spec: { replicas } },
      { subresource: 'scale' },
    );

  beforeAll(async () => {
    cluster = await Cluster.start(ARGOCD_USER);
    client = cluster.client();
    for (const { group, version, kind, plural } of FOREIGN_KINDS)
      await installKind(client, group, version, kind, plural);
    repository = new Repository(join(cluster.subfolder('git'), 'weir'), 'charts');
    surroundings = await Surroundings.start(cluster);
    argocd = await ArgoCd.start(cluster, dev.cluster, repository.read('charts/argocd/configmap-cm.yaml'));
    await argocd.install(
      repository.read('charts/argocd/appproject.yaml'),
      repository.read('charts/argocd/applicationset.yaml'),
    );
  }, 120_000);

  afterAll(async () => {
    await argocd?.stop();
    await surroundings?.stop();
    await cluster?.stop();
  }, 60_000);

  it('makes an Application of each folder, for the environment whose cluster is registered', async () => {
    onTestFailed(() => void process.stderr.write(argocd.lastLines()));
    const folders = repository.list('charts/dev');
    const made = await waitFor(async () => {
      const found = await argocd.applications();
      return found.length >= folders.length ? found : undefined;
    }, 60_000);
    expect(made.map(({ metadata }) => metadata.name).sort()).toEqual(folders.map(app));
    for (const { spec } of made) expect(spec.destination).toEqual({ name: dev.cluster, namespace });
  });

  it(
    'syncs all of them',
    async () => {
      onTestFailed(() => void process.stderr.write(argocd.lastLines()));
      for (const folder of repository.list('charts/dev')) {
        const { status } = await argocd.synced(app(folder), undefined, FIRST_SYNC_MS);
        expect(status?.conditions?.filter(({ type }) => type.endsWith('Error')) ?? []).toEqual([]);
      }
    },
    FIRST_SYNC_MS + 60_000,
  );

  it('applied the objects of an app in their waves', () => {
    const order = appliedKinds(cluster, namespace);
    const first = (resource: string, app: string) => {
      const at = order.indexOf(`${resource}/weir-${app}`);
      expect(at, `${resource} of ${app}`).toBeGreaterThanOrEqual(0);
      return at;
    };
    for (const [earlier, later] of [
      [first('serviceaccounts', 'consumer'), first('deployments', 'consumer')],
      [first('deployments', 'consumer'), first('streamscalers', 'consumer')],
      [first('networkpolicies', 'producer'), first('deployments', 'producer')],
      [first('ingresses', 'producer'), first('horizontalpodautoscalers', 'producer')],
    ] as const)
      expect(earlier).toBeLessThan(later);
  });

  it('says of a StreamScaler what the controller says, by the health check in Lua', async () => {
    const at = { namespace, name: 'weir-consumer' };
    const says = async (status: string, message: string) => {
      await argocd.see(app('consumer'), (application) => {
        const health = application.status?.resources?.find(({ kind }) => kind === 'StreamScaler')?.health;
        return health?.status === status;
      });
      const { status: all } = await argocd.application(app('consumer'));
      expect(all?.health?.status, message).toBe(status);
    };
    await says('Progressing', 'before the controller looked at it');
    const { metadata } = await client.get<KubeObject>(SCALERS, at);
    const report = (observedGeneration: number, ready: string) =>
      client.patch(
        SCALERS,
        at,
        'merge',
        {
          status: {
            observedGeneration,
            conditions: [
              {
                type: 'Ready',
                status: ready,
                reason: 'Test',
                message: 'as the test says',
                lastTransitionTime: new Date().toISOString(),
              },
            ],
          },
        },
        { subresource: 'status' },
      );
    const generation = metadata.generation ?? 0;
    await report(generation, 'False');
    await says('Degraded', 'not ready');
    await report(generation, 'True');
    await says('Healthy', 'ready');
    await report(generation - 1, 'True');
    await says('Progressing', 'ready with an older spec');
    await report(generation, 'True');
    await says('Healthy', 'ready again');
  });

  it('leaves the replicas that a scaler set alone at a sync of a new commit', async () => {
    await scale('consumer', 3);
    repository.edit('charts/dev/consumer/deployment.yaml', (text) =>
      text.replace('progressDeadlineSeconds: 300', 'progressDeadlineSeconds: 301'),
    );
    const revision = repository.commit('A longer deadline');
    await argocd.refresh(app('consumer'));
    await argocd.synced(app('consumer'), revision);
    const { spec } = await deployment('consumer');
    expect(spec).toMatchObject({ replicas: 3, progressDeadlineSeconds: 301 });
  });

  it('takes back what somebody changed by hand', async () => {
    const at = { namespace, name: 'weir-producer' };
    const bound = async () =>
      (await client.get<{ spec: { maxReplicas: number } }>(AUTOSCALERS, at)).spec.maxReplicas;
    const before = await bound();
    const changed = { spec: { maxReplicas: before + 50 } };
    expect(await client.patch(AUTOSCALERS, at, 'merge', changed)).toMatchObject(changed);
    await waitFor(async () => (await bound()) === before, 60_000);
  });

  it('deletes what a commit removes', async () => {
    expect(await exists(BUDGETS, 'weir-producer')).toBe(true);
    repository.remove('charts/dev/producer/poddisruptionbudget.yaml');
    const revision = repository.commit('No disruption budget');
    await argocd.refresh(app('producer'));
    await argocd.synced(app('producer'), revision);
    await waitFor(async () => !(await exists(BUDGETS, 'weir-producer')));
  });

  it('keeps what runs when a render is empty', async () => {
    for (const file of repository.list('charts/dev/monitoring'))
      repository.remove(`charts/dev/monitoring/${file}`);
    // git keeps no empty folder.
    repository.write('charts/dev/monitoring/notes.txt', 'nothing to apply');
    repository.commit('An empty render');
    await argocd.refresh(app('monitoring'));
    await argocd.see(app('monitoring'), ({ status }) =>
      (status?.conditions ?? []).some(({ message }) => message.includes('wipe out all resources')),
    );
    expect(await exists(MONITORS, 'weir')).toBe(true);
    const reverted = repository.revert();
    await argocd.refresh(app('monitoring'));
    await argocd.synced(app('monitoring'), reverted);
  });

  it('does not let a bad change in, and a git revert mends it', async () => {
    const before = await deployment('producer');
    repository.edit('charts/dev/producer/deployment.yaml', byTag);
    repository.commit('An image by its tag');
    await argocd.refresh(app('producer'));
    // A change of what is there fails the comparison already, which asks the API server what it would make of it.
    await argocd.see(
      app('producer'),
      ({ status }) =>
        status?.sync?.status === 'Unknown' &&
        (status.conditions ?? []).some(
          ({ type, message }) => type === 'ComparisonError' && REFUSED.test(message),
        ),
    );
    expect((await deployment('producer')).spec.template).toEqual(before.spec.template);
    const reverted = repository.revert();
    await argocd.refresh(app('producer'));
    await argocd.synced(app('producer'), reverted);
    expect((await deployment('producer')).spec.template).toEqual(before.spec.template);
  });

  it('ends the tries of a sync that fails when a git revert comes', async () => {
    repository.write(
      'charts/dev/producer/deployment-extra.yaml',
      byTag(repository.read('charts/dev/producer/deployment.yaml')).replace(
        'name: weir-producer\n',
        'name: weir-extra\n',
      ),
    );
    repository.commit('A new Deployment, with an image by its tag');
    await argocd.refresh(app('producer'));
    await argocd.see(
      app('producer'),
      ({ status }) =>
        status?.sync?.status === 'OutOfSync' && REFUSED.test(status.operationState?.message ?? ''),
    );
    const reverted = repository.revert();
    await argocd.refresh(app('producer'));
    await argocd.synced(app('producer'), reverted);
    expect(await exists(DEPLOYMENTS, 'weir-extra')).toBe(false);
  });
});

function byTag(text: string): string {
  return text.replace(/(image: \S+?)@sha256:[0-9a-f]{64}/, '$1:latest');
}

/** What Argo CD applied in the namespace, `resource/name`, in order; what it only tried is left out. */
function appliedKinds(cluster: Cluster, inNamespace: string): string[] {
  return cluster
    .audit()
    .filter(({ user, verb, requestURI, objectRef, responseStatus }) => {
      const applied =
        user.username === ARGOCD_USER && verb === 'patch' && (responseStatus?.code ?? 500) < 300;
      return applied && objectRef?.namespace === inNamespace && !requestURI.includes('dryRun');
    })
    .map(({ objectRef }) => `${objectRef?.resource}/${objectRef?.name}`);
}

/** A kind whose objects may hold anything. */
async function installKind(client: KubeClient, group: string, version: string, kind: string, plural: string) {
  const crds = {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    namespaced: false,
  };
  await client.create(crds, undefined, {
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  });
}
