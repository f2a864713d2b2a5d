import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { KubeClient, KubeObject, Resource } from '../../services/controller/runtime/api/client.ts';
import type { ManagedProcess } from '../../services/testkit/processes.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { moduleFolder, moduleVersion, TOOLS } from '../kube/assets.ts';
import { type Cluster, freePort, startTool } from '../kube/cluster.ts';

const ARGOCD_NAMESPACE = 'argocd';
/** The user of the test cluster as whom Argo CD works: its audit log shows what it did. */
export const ARGOCD_USER = 'argocd';

const ARGO = { group: 'argoproj.io', version: 'v1alpha1', namespaced: true };
const APPLICATIONS: Resource = { ...ARGO, plural: 'applications' };
const APPLICATION_SETS: Resource = { ...ARGO, plural: 'applicationsets' };
const PROJECTS: Resource = { ...ARGO, plural: 'appprojects' };
const CORE = { group: '', version: 'v1', namespaced: true };
const CONFIG_MAPS: Resource = { ...CORE, plural: 'configmaps' };
const SECRETS: Resource = { ...CORE, plural: 'secrets' };
const NAMESPACES: Resource = { ...CORE, plural: 'namespaces', namespaced: false };
const CRDS: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  namespaced: false,
};
const PART_OF_ARGOCD = { 'app.kubernetes.io/part-of': 'argocd' };
/** Its settings besides `argocd-cm`, which comes from charts/argocd. */
const SETTINGS = [
  'argocd-rbac-cm',
  'argocd-cmd-params-cm',
  'argocd-tls-certs-cm',
  'argocd-ssh-known-hosts-cm',
  'argocd-gpg-keys-cm',
];

/** What the tests look at in an Application. */
export interface Application extends KubeObject {
  spec: { source: { path: string }; destination: { name: string; namespace: string } };
  status?: {
    sync?: { status: string; revision: string };
    health?: { status: string };
    conditions?: { type: string; message: string }[];
    operationState?: { phase: string; message: string; syncResult?: { revision: string } };
    resources?: {
      kind: string;
      name: string;
      status: string;
      health?: { status: string; message?: string };
    }[];
  };
}

/** The parts of a real Argo CD that make Applications of an ApplicationSet and sync them, with a Redis. */
export class ArgoCd {
  readonly #client: KubeClient;
  readonly #parts: ManagedProcess[];

  private constructor(client: KubeClient, parts: ManagedProcess[]) {
    this.#client = client;
    this.#parts = parts;
  }

  /**
   * Starts it, with the cluster itself registered as a destination, as a cluster elsewhere is.
   *
   * @param destination the name under which the Applications know the cluster.
   * @param settings the manifest of `argocd-cm`.
   */
  static async start(cluster: Cluster, destination: string, settings: string): Promise<ArgoCd> {
    const client = cluster.client();
    await prepare(client, settings);
    await registerCluster(client, cluster, destination);
    const folder = cluster.subfolder('argocd');
    const user = cluster.user(ARGOCD_USER);
    const kubeConfig = cluster.kubeConfigFile(user);
    const env = {
      // Outside of a cluster; which one, KUBECONFIG says.
      ARGOCD_FAKE_IN_CLUSTER: 'true',
      KUBECONFIG: kubeConfig,
      ARGOCD_NAMESPACE,
      ARGOCD_GPG_ENABLED: 'false',
      ARGOCD_TLS_DATA_PATH: cluster.subfolder('argocd/tls'),
      ARGOCD_SSH_DATA_PATH: cluster.subfolder('argocd/ssh'),
      ARGOCD_GNUPGHOME: cluster.subfolder('argocd/gpg'),
      ARGOCD_PLUGINSOCKFILEPATH: cluster.subfolder('argocd/plugins'),
      ARGOCD_ASK_PASS_SOCK: join(folder, 'ask-pass.sock'),
      HOME: folder,
      TMPDIR: cluster.subfolder('argocd/tmp'),
    };
    const ports = await Promise.all(Array.from({ length: 7 }, freePort));
    const [redis, repository, ...more] = ports.map((port) => `127.0.0.1:${port}`);
    const start = (name: string, ...args: string[]) => startTool('argocd', folder, [name, ...args], env);
    const parts = await Promise.all([
      startTool('miniredis', folder, [redis ?? '']),
      start(
        'argocd-repo-server',
        ...['--redis', redis ?? '', '--address', '127.0.0.1', '--port', String(ports[1]), '--disable-tls'],
        ...['--metrics-address', '127.0.0.1', '--metrics-port', String(ports[2])],
      ),
      start(
        'argocd-application-controller',
        ...['--namespace', ARGOCD_NAMESPACE, '--redis', redis ?? ''],
        ...['--repo-server', repository ?? '', '--repo-server-plaintext', '--metrics-port', String(ports[3])],
        '--persist-resource-health',
      ),
      start(
        'argocd-applicationset-controller',
        ...[
          '--namespace',
          ARGOCD_NAMESPACE,
          '--argocd-repo-server',
          repository ?? '',
          '--repo-server-plaintext',
        ],
        ...['--metrics-addr', more[2] ?? '', '--probe-addr', more[3] ?? '', '--webhook-addr', more[4] ?? ''],
      ),
    ]);
    return new ArgoCd(client, parts);
  }

  /** Applies what an administrator applies once: the project and the ApplicationSet. */
  async install(project: string, applicationSet: string): Promise<void> {
    await this.#client.create(PROJECTS, ARGOCD_NAMESPACE, parse(project));
    await this.#client.create(APPLICATION_SETS, ARGOCD_NAMESPACE, parse(applicationSet));
  }

  async applications(): Promise<Application[]> {
    return (await this.#client.list<Application>(APPLICATIONS, { namespace: ARGOCD_NAMESPACE })).items;
  }

  async application(name: string): Promise<Application> {
    return await this.#client.get<Application>(APPLICATIONS, { namespace: ARGOCD_NAMESPACE, name });
  }

  /** Has it look at the repository now; without this it does every three minutes, or when a webhook says so. */
  async refresh(name: string): Promise<void> {
    const metadata = { annotations: { 'argocd.argoproj.io/refresh': 'hard' } };
    await this.#client.patch(APPLICATIONS, { namespace: ARGOCD_NAMESPACE, name }, 'merge', { metadata });
  }

  /** Waits until an Application is as `is` says, and says how it was last if it never is. */
  async see(
    name: string,
    is: (application: Application) => boolean,
    timeoutMs = 60_000,
  ): Promise<Application> {
    return await waitFor(async () => {
      const application = await this.application(name);
      if (is(application)) return application;
      throw new Error(JSON.stringify(application.status, null, 1));
    }, timeoutMs);
  }

  /** Waits until an Application is synced to a commit, or any. */
  async synced(name: string, revision?: string, timeoutMs?: number): Promise<Application> {
    const done = ({ status }: Application) =>
      status?.sync?.status === 'Synced' &&
      status.operationState?.phase === 'Succeeded' &&
      (revision === undefined || status.sync.revision === revision);
    return await this.see(name, done, timeoutMs);
  }

  /** The last lines of each part, for a failure's message. */
  lastLines(): string {
    return this.#parts
      .map(({ name, lastLines }) => `${name}:\n${lastLines().slice(-15).join('\n')}`)
      .join('\n');
  }

  async stop(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.stop()));
  }
}

/** Its CustomResourceDefinitions, as its Go module has them. */
function customResourceDefinitions(): KubeObject[] {
  const tool = TOOLS.argocd;
  if (!tool) throw new Error('argocd is no tool');
  const module = `${tool.versionOf}@${moduleVersion(tool)}`;
  const answer = execFileSync('go', ['mod', 'download', '-json', module], {
    cwd: moduleFolder(tool),
    encoding: 'utf8',
  });
  const { Dir } = JSON.parse(answer) as { Dir: string };
  return ['application', 'applicationset', 'appproject'].map((name) =>
    parse(readFileSync(join(Dir, 'manifests', 'crds', `${name}-crd.yaml`), 'utf8')),
  );
}

async function prepare(client: KubeClient, settings: string): Promise<void> {
  for (const crd of customResourceDefinitions()) await client.create(CRDS, undefined, crd);
  await waitFor(() =>
    Promise.all([APPLICATIONS, APPLICATION_SETS, PROJECTS].map((kind) => client.list(kind))),
  );
  await client.create(NAMESPACES, undefined, { metadata: { name: ARGOCD_NAMESPACE } });
  await client.create(CONFIG_MAPS, ARGOCD_NAMESPACE, parse(settings));
  for (const name of SETTINGS)
    await client.create(CONFIG_MAPS, ARGOCD_NAMESPACE, { metadata: { name, labels: PART_OF_ARGOCD } });
  await client.create(SECRETS, ARGOCD_NAMESPACE, {
    metadata: { name: 'argocd-secret', labels: PART_OF_ARGOCD },
    stringData: { 'server.secretkey': randomBytes(32).toString('base64') },
  });
  await client.create(
    { group: 'rbac.authorization.k8s.io', version: 'v1', plural: 'clusterrolebindings', namespaced: false },
    undefined,
    {
      metadata: { name: 'argocd' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: ARGOCD_USER }],
    },
  );
}

/** As `argocd cluster add` does. */
async function registerCluster(client: KubeClient, cluster: Cluster, name: string): Promise<void> {
  await client.create(SECRETS, ARGOCD_NAMESPACE, {
    metadata: { name: `cluster-${name}`, labels: { 'argocd.argoproj.io/secret-type': 'cluster' } },
    stringData: {
      name,
      server: cluster.url,
      config: JSON.stringify({
        bearerToken: cluster.user(ARGOCD_USER).token,
        tlsClientConfig: { caData: Buffer.from(cluster.ca).toString('base64') },
      }),
    },
  });
}
