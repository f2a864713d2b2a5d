import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KubeConfig } from '@kubernetes/client-node';
import { describe } from 'vitest';
import { KubeClient } from '../../services/controller/runtime/api/client.ts';
import { Transport } from '../../services/controller/runtime/api/transport.ts';
import { systemClock } from '../../services/shared/clock.ts';
import { launch, type ManagedProcess } from '../../services/testkit/processes.ts';
import { findTool } from './assets.ts';

const RUN_PROGRAM = fileURLToPath(new URL('run-program.ts', import.meta.url));
const READY_TIMEOUT_MS = 60_000;

/**
 * As `describe`; left out, with a word on standard error, on a machine that lacks one of the programs (`npm run kube:assets`).
 * With REQUIRE_KUBE=1 that is an error.
 */
export function describeWithTools(what: string, ...names: string[]) {
  const missing = names.filter((name) => findTool(name) === undefined);
  if (missing.length > 0) {
    const text = `${missing.join(' and ')} missing: run "npm run kube:assets" (needs Go), or set KUBEBUILDER_ASSETS`;
    if (process.env.REQUIRE_KUBE === '1') throw new Error(text);
    process.stderr.write(`tests ${what} are left out; ${text}\n`);
  }
  return describe.skipIf(missing.length > 0);
}

/** Tests against a real API server. */
export const describeWithCluster = describeWithTools('against a real API server', 'etcd', 'kube-apiserver');

/** A user of the test cluster: what a ServiceAccount is elsewhere. Without bindings it may do nothing. */
export interface ClusterUser {
  name: string;
  token: string;
}

export interface AuditEvent {
  stage: string;
  verb: string;
  user: { username: string };
  objectRef?: {
    apiGroup?: string;
    resource: string;
    subresource?: string;
    namespace?: string;
    name?: string;
  };
  responseStatus?: { code: number };
  requestURI: string;
}

/** A real API server with its etcd, on loopback, with RBAC and nothing else: no controllers, no nodes. Ready in three seconds. */
export class Cluster {
  readonly url: string;
  readonly admin: ClusterUser;
  readonly #folder: string;
  readonly #users: readonly ClusterUser[];
  readonly #port: number;
  readonly #transports: Transport[] = [];
  #etcd: ManagedProcess | undefined;
  #server: ManagedProcess | undefined;

  private constructor(folder: string, port: number, users: readonly string[]) {
    this.#folder = folder;
    this.#port = port;
    this.url = `https://127.0.0.1:${port}`;
    this.#users = ['admin', ...users].map((name) => ({ name, token: randomBytes(16).toString('hex') }));
    this.admin = this.user('admin');
  }

  /** @param users names of users besides `admin`, who may do everything. */
  static async start(...users: string[]): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), 'weir-kube-'));
    const cluster = new Cluster(folder, await freePort(), users);
    try {
      await cluster.#prepare();
      await cluster.startServer();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  user(name: string): ClusterUser {
    const found = this.#users.find((user) => user.name === name);
    if (!found) throw new Error(`the cluster was started without a user ${name}`);
    return found;
  }

  /** The configuration of a user, for client-node. */
  kubeConfig(user = this.admin, server = this.url): KubeConfig {
    const config = new KubeConfig();
    config.loadFromString(this.kubeConfigText(user, server));
    return config;
  }

  /** A kubeconfig file's text. */
  kubeConfigText(user = this.admin, server = this.url): string {
    const ca = Buffer.from(this.ca).toString('base64');
    // A proxy of a test, on loopback.
    const trust = server.startsWith('http:')
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': ca };
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      contexts: [{ name: 'test', context: { cluster: 'test', user: user.name } }],
      clusters: [{ name: 'test', cluster: { server, ...trust } }],
      users: [{ name: user.name, user: { token: user.token } }],
    });
  }

  /** Its certificate authority, in PEM. */
  get ca(): string {
    return readFileSync(join(this.#folder, 'certs', 'apiserver.crt'), 'utf8');
  }

  /** A folder for who works with the cluster; it goes with the cluster. */
  subfolder(name: string): string {
    const folder = join(this.#folder, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Writes a kubeconfig file into the cluster's own folder, which goes with it. @returns its path. */
  kubeConfigFile(user = this.admin, server = this.url): string {
    const file = join(this.#folder, `kubeconfig-${user.name}-${new URL(server).port}`);
    writeFileSync(file, this.kubeConfigText(user, server), { mode: 0o600 });
    return file;
  }

  /** A client of our own runtime for a user; closed with the cluster. */
  client(user = this.admin): KubeClient {
    const transport = new Transport(this.kubeConfig(user), systemClock, 'weir-tests');
    this.#transports.push(transport);
    return new KubeClient(transport);
  }

  /** What the API server was asked, from its audit log. */
  audit(): AuditEvent[] {
    return readFileSync(join(this.#folder, 'audit.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditEvent);
  }

  /** Ends the API server at once, as a crash does; etcd keeps what it holds. */
  async stopServer(): Promise<void> {
    this.#server?.signal('SIGINT');
    await this.#server?.exited;
    this.#server = undefined;
  }

  /** Starts the API server and waits until it is ready. */
  async startServer(): Promise<void> {
    const file = (name: string) => join(this.#folder, name);
    this.#server = await startTool('kube-apiserver', this.#folder, [
      `--etcd-servers=unix://${file('client:1')}`,
      `--cert-dir=${file('certs')}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${this.#port}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('sa.key')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      '--service-cluster-ip-range=10.96.0.0/24',
      '--authorization-mode=RBAC',
      `--token-auth-file=${file('tokens.csv')}`,
      // No controller makes the default ServiceAccount here.
      '--disable-admission-plugins=ServiceAccount',
      `--audit-policy-file=${file('audit.yaml')}`,
      `--audit-log-path=${file('audit.log')}`,
      '--shutdown-delay-duration=0s',
    ]);
    await this.#ready();
  }

  async stop(): Promise<void> {
    for (const transport of this.#transports) transport.close();
    await this.stopServer();
    // What it holds goes with it.
    this.#etcd?.signal('SIGINT');
    await this.#etcd?.exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #prepare(): Promise<void> {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const write = (name: string, text: string) =>
      writeFileSync(join(this.#folder, name), text, { mode: 0o600 });
    write('sa.key', privateKey.export({ type: 'pkcs1', format: 'pem' }).toString());
    write(
      'tokens.csv',
      this.#users
        .map(({ name, token }) => `${token},${name},${name}${name === 'admin' ? ',"system:masters"' : ''}\n`)
        .join(''),
    );
    write(
      'audit.yaml',
      JSON.stringify({
        apiVersion: 'audit.k8s.io/v1',
        kind: 'Policy',
        omitStages: ['RequestReceived'],
        rules: [{ level: 'Metadata', users: this.#users.map(({ name }) => name) }, { level: 'None' }],
      }),
    );
    // Sockets in the folder instead of ports: nobody else can take them, and nobody else can reach them.
    this.#etcd = await startTool('etcd', this.#folder, [
      '--name=test',
      '--data-dir=etcd',
      '--unsafe-no-fsync',
      '--listen-client-urls=unix://client:1',
      '--advertise-client-urls=unix://client:1',
      '--listen-peer-urls=unix://peer:1',
      '--initial-advertise-peer-urls=unix://peer:1',
      '--initial-cluster=test=unix://peer:1',
      '--log-level=error',
    ]);
  }

  async #ready(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    let gone = false;
    void server.exited.then(() => {
      gone = true;
    });
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (let last: unknown; ; await sleep(50)) {
      if (gone || Date.now() > deadline) {
        const lines = server.lastLines().slice(-15).join('\n');
        throw new Error(`kube-apiserver did not become ready (${String(last)}); its last lines:\n${lines}`);
      }
      let transport: Transport | undefined;
      try {
        transport = new Transport(this.kubeConfig(), systemClock, 'weir-tests');
        // Bootstrapped: RBAC's own roles are there once this one is.
        await new KubeClient(transport).raw('/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin');
        await new KubeClient(transport).raw('/api/v1/namespaces/default');
        return;
      } catch (error) {
        last = error;
      } finally {
        transport?.close();
      }
    }
  }
}

/**
 * Starts a program that `npm run kube:assets` builds, with a folder as its working directory; it ends with the test run.
 *
 * @param env its environment besides PATH.
 */
export async function startTool(
  name: string,
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ManagedProcess> {
  const program = findTool(name);
  if (program === undefined) throw new Error(`${name} is missing: npm run kube:assets`);
  const { process: started } = await launch({
    name,
    args: [RUN_PROGRAM, folder, program, ...args],
    env,
    ready: (line) => line === 'spawned' || undefined,
  });
  return started;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
