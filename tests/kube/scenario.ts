import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { StreamScaler } from '../../cdk8s/crd/stream-scaler.ts';
import type { KubeClient, KubeObject, Resource } from '../../services/controller/runtime/api/client.ts';
import { leaderRules, type PolicyRule, scalerRules } from '../../services/controller/streamscaler/rbac.ts';
import { toRow } from '../../services/shared/kcl/lease-row.ts';
import { listShards } from '../../services/shared/list-shards.ts';
import {
  type KinesisDouble,
  type KinesisDoubleOptions,
  startKinesisDouble,
} from '../../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../../services/testkit/service-process.ts';
import { TestStack } from '../../services/testkit/stack.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { Cluster } from './cluster.ts';
import { installCrd, SCALERS, scalerObject } from './scalers.ts';

const NAMESPACE = 'default';
const CONTROLLER = 'controller';

export const DEPLOYMENTS: Resource = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  namespaced: true,
};
export const STATEFUL_SETS: Resource = { ...DEPLOYMENTS, plural: 'statefulsets' };
const EVENTS: Resource = { group: '', version: 'v1', plural: 'events', namespaced: true };
export const PODS: Resource = { ...EVENTS, plural: 'pods' };
const NAMESPACES: Resource = { ...EVENTS, plural: 'namespaces', namespaced: false };
const RBAC = { group: 'rbac.authorization.k8s.io', version: 'v1', namespaced: true };

interface Workload extends KubeObject {
  spec: { replicas: number };
  status?: { replicas?: number; readyReplicas?: number };
}

export interface KubeEvent extends KubeObject {
  reason: string;
  message: string;
  type: string;
  count: number;
  involvedObject: { name: string };
}

/** How the work on each open shard goes, as the consumers report it. */
export interface Reports {
  lagSeconds: number;
  recordsPerSecond: number;
  bytesPerSecond: number;
  busyShare: number;
  /** Worker of the n-th open shard. */
  owner: (index: number) => string;
}

export interface ScenarioOptions {
  /** One that others use too, by `Scenario.cluster()`: with a namespace of its own. Left out, a cluster for this one. */
  in?: { cluster: Cluster; namespace: string };
  /** Default 2. */
  shards?: number;
  double?: KinesisDoubleOptions;
  /**
   * Plays the kubelet: brings the pods of a workload to a number, and tells how many are ready. Left out, pods are ready as
   * soon as they are wanted, and lease rows are written as consumers would, by `reports`.
   */
  kubelet?: (workload: string, replicas: number) => Promise<number>;
}

const WORKLOAD_TICK_MS = 100;
const REPORT_TICK_MS = 200;

/**
 * A controller process against a real API server, the Kinesis double and the DynamoDB emulator. The consumers are told of
 * by lease rows that are written as they write them; the workloads' controllers are played by a loop that makes what is
 * wanted ready.
 */
export class Scenario {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly client: KubeClient;
  readonly double: KinesisDouble;
  readonly stack: TestStack;
  readonly reports: Reports = {
    lagSeconds: 0,
    recordsPerSecond: 100,
    bytesPerSecond: 10_000,
    busyShare: 0.5,
    owner: () => 'consumer-0-w',
  };
  readonly #kubelet: ScenarioOptions['kubelet'];
  readonly #ownsCluster: boolean;
  readonly #controllers = new Set<ServiceProcess>();
  readonly #loops: { timer: NodeJS.Timeout; running: Promise<void> }[] = [];
  #counter = 1;

  private constructor(cluster: Cluster, double: KinesisDouble, stack: TestStack, options: ScenarioOptions) {
    this.cluster = cluster;
    this.namespace = options.in?.namespace ?? NAMESPACE;
    this.client = cluster.client();
    this.double = double;
    this.stack = stack;
    this.#kubelet = options.kubelet;
    this.#ownsCluster = options.in === undefined;
  }

  /** A cluster for scenarios in namespaces of their own; it outlives them. */
  static async cluster(): Promise<Cluster> {
    const cluster = await Cluster.start(CONTROLLER);
    await installCrd(cluster.client());
    return cluster;
  }

  static async start(dynamodb: string, options: ScenarioOptions = {}): Promise<Scenario> {
    const [cluster, double] = await Promise.all([
      options.in?.cluster ?? Scenario.cluster(),
      startKinesisDouble(options.double),
    ]);
    const stack = await TestStack.create(
      { kinesis: double.endpoint, dynamodb },
      { shards: options.shards ?? 2 },
    );
    const scenario = new Scenario(cluster, double, stack, options);
    if (options.in)
      await scenario.client.create(NAMESPACES, undefined, { metadata: { name: scenario.namespace } });
    await scenario.#bind('scaler', scalerRules());
    await scenario.#bind('leader', leaderRules());
    scenario.#every(WORKLOAD_TICK_MS, () => scenario.#settleWorkloads());
    if (!options.kubelet) scenario.#every(REPORT_TICK_MS, () => scenario.#report());
    return scenario;
  }

  /** A StreamScaler of the scenario's stream and table for the target `consumer`; `spec` wins. */
  async createScaler(name: string, spec: object = {}): Promise<StreamScaler> {
    const { stream, leaseTable } = this.stack.resources;
    const object = scalerObject(name, { stream: { name: stream }, consumer: { leaseTable }, ...spec });
    return await this.client.create<StreamScaler>(SCALERS, this.namespace, object);
  }

  async scaler(name: string): Promise<StreamScaler> {
    return await this.client.get<StreamScaler>(SCALERS, { namespace: this.namespace, name });
  }

  async patchScaler(name: string, patch: object): Promise<StreamScaler> {
    return await this.client.patch<StreamScaler>(
      SCALERS,
      { namespace: this.namespace, name },
      'merge',
      patch,
    );
  }

  /** The condition of a StreamScaler, once it is as `matches` says. */
  async condition(
    name: string,
    type: string,
    matches: { status?: string; reason?: string },
    timeoutMs = 30_000,
  ) {
    return await waitFor(async () => {
      const { status } = await this.scaler(name);
      const found = status?.conditions?.find((c) => c.type === type);
      if (!found) return undefined;
      const { status: is, reason } = found;
      if (matches.status !== undefined && is !== matches.status) throw new Error(JSON.stringify(found));
      if (matches.reason !== undefined && reason !== matches.reason) throw new Error(JSON.stringify(found));
      return found;
    }, timeoutMs);
  }

  async createWorkload(resource: Resource, kind: string, name: string, replicas = 1): Promise<void> {
    const labels = { app: name };
    await this.client.create(resource, this.namespace, {
      apiVersion: 'apps/v1',
      kind,
      metadata: { name },
      spec: {
        replicas,
        ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'c' }] } },
      },
    });
  }

  async replicas(name: string, resource = DEPLOYMENTS): Promise<number> {
    return (await this.client.get<Workload>(resource, { namespace: this.namespace, name })).spec.replicas;
  }

  async events(scaler: string): Promise<KubeEvent[]> {
    const { items } = await this.client.list<KubeEvent>(EVENTS, { namespace: this.namespace });
    return items.filter((event) => event.involvedObject.name === scaler);
  }

  async openShards(): Promise<number> {
    return (await listShards(this.stack.kinesis, this.stack.resources.stream)).filter(({ open }) => open)
      .length;
  }

  /** Starts a controller with the rights of its rendered Role and nothing else. */
  async startController(
    env: Record<string, string> = {},
    entry = 'services/controller/main.ts',
  ): Promise<ServiceProcess> {
    const { AWS_REGION = '', AWS_ENDPOINT_URL_KINESIS = '', AWS_ENDPOINT_URL_DYNAMODB = '' } = this.stack.env;
    const controller = await spawnService({
      name: 'controller',
      entry,
      env: {
        KUBECONFIG: this.cluster.kubeConfigFile(this.cluster.user(CONTROLLER)),
        HOME: '/nonexistent',
        WATCH_NAMESPACE: this.namespace,
        POD_NAMESPACE: this.namespace,
        KEDA_PORT: '0',
        TICK_MS: '500',
        // It outlasts the test, however busy the machine is; a test of its expiry sets it.
        LEADER_LEASE_DURATION_MS: '60000',
        LEADER_RENEW_DEADLINE_MS: '50000',
        LEADER_RETRY_MS: '200',
        AWS_REGION,
        AWS_ENDPOINT_URL_KINESIS,
        AWS_ENDPOINT_URL_DYNAMODB,
        ...env,
      },
      ...(process.env.SHOW_LOGS ? { onLine: (line: string) => void process.stderr.write(`${line}\n`) } : {}),
    });
    this.#controllers.add(controller);
    void controller.exited.then(() => this.#controllers.delete(controller));
    return controller;
  }

  async stopControllers(): Promise<void> {
    await Promise.all([...this.#controllers].map((controller) => controller.stop()));
  }

  async stop(): Promise<void> {
    await this.stopControllers();
    for (const loop of this.#loops) clearInterval(loop.timer);
    await Promise.all(this.#loops.map((loop) => loop.running));
    await this.stack.close();
    await this.double.stop();
    if (this.#ownsCluster) await this.cluster.stop();
  }

  async #bind(name: string, rules: readonly PolicyRule[]): Promise<void> {
    const metadata = { name };
    await this.client.create({ ...RBAC, plural: 'roles' }, this.namespace, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata,
      rules,
    });
    await this.client.create({ ...RBAC, plural: 'rolebindings' }, this.namespace, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'User', name: CONTROLLER, apiGroup: 'rbac.authorization.k8s.io' }],
    });
  }

  /** Runs `work` again and again, never twice at once; a failure (the API server restarts) is for the next time. */
  #every(ms: number, work: () => Promise<void>): void {
    const loop = { timer: setInterval(() => {}, 1e9), running: Promise.resolve() };
    clearInterval(loop.timer);
    let busy = false;
    loop.timer = setInterval(() => {
      if (busy) return;
      busy = true;
      loop.running = work()
        .catch(() => {})
        .finally(() => {
          busy = false;
        });
    }, ms);
    this.#loops.push(loop);
  }

  async #settleWorkloads(): Promise<void> {
    for (const resource of [DEPLOYMENTS, STATEFUL_SETS]) {
      const { items } = await this.client.list<Workload>(resource, { namespace: this.namespace });
      for (const { metadata, spec, status } of items) {
        const { name } = metadata;
        const ready = (await this.#kubelet?.(name, spec.replicas)) ?? spec.replicas;
        if (status?.readyReplicas === ready && status.replicas === spec.replicas) continue;
        const next = { replicas: spec.replicas, readyReplicas: ready };
        const at = { namespace: this.namespace, name };
        await this.client.patch(resource, at, 'merge', { status: next }, { subresource: 'status' });
      }
    }
  }

  async #report(): Promise<void> {
    const { kinesis, dynamodb, resources } = this.stack;
    const shards = await listShards(kinesis, resources.stream);
    const { lagSeconds, recordsPerSecond, bytesPerSecond, busyShare, owner } = this.reports;
    const open = shards.filter((shard) => shard.open);
    for (const shard of shards) {
      const index = open.indexOf(shard);
      const row = toRow({
        leaseKey: shard.shardId,
        leaseOwner: index >= 0 ? owner(index) : undefined,
        leaseCounter: this.#counter++,
        checkpoint: { sequenceNumber: index >= 0 ? 'TRIM_HORIZON' : 'SHARD_END', subSequenceNumber: 0 },
        ownerSwitchesSinceCheckpoint: 0,
        parentShardIds: shard.parentShardIds,
        childShardIds: [],
        hashKeyRange: shard.hashKeyRange,
        startedAt: undefined,
        workerAddress: undefined,
        tenure: undefined,
        report:
          index < 0
            ? undefined
            : {
                reportedAt: Date.now(),
                millisBehindLatest: lagSeconds * 1_000,
                recordsPerSecond,
                bytesPerSecond,
                busyShare,
                lastArrivalAt: Date.now(),
              },
      });
      await dynamodb.send(new PutItemCommand({ TableName: resources.leaseTable, Item: row }));
    }
  }
}
