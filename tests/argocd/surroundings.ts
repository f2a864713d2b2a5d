import type { KubeClient, KubeObject, Resource } from '../../services/controller/runtime/api/client.ts';
import type { ManagedProcess } from '../../services/testkit/processes.ts';
import { type Cluster, freePort, startTool } from '../kube/cluster.ts';

const TICK_MS = 200;
const PODS: Resource = { group: '', version: 'v1', plural: 'pods', namespaced: true };
const INGRESSES: Resource = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'ingresses',
  namespaced: true,
};
export const AUTOSCALERS: Resource = {
  group: 'autoscaling',
  version: 'v2',
  plural: 'horizontalpodautoscalers',
  namespaced: true,
};
const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'disruption-controller',
  'namespace-controller',
  'garbage-collector-controller',
];
const READY = { type: 'Ready', status: 'True' };

interface WithStatus extends KubeObject {
  status?: {
    conditions?: { type: string; status: string }[];
    loadBalancer?: { ingress?: unknown[] };
  };
}

/**
 * What a cluster has besides its API server. The controllers of Deployments, disruption budgets, namespaces and garbage are the real
 * ones (kube-controller-manager); there are no nodes and no AWS, so a loop says of each pod that it is ready, of an
 * Ingress that it has a load balancer, and of an autoscaler that it works. Argo CD waits for these before its next wave.
 */
export class Surroundings {
  readonly #client: KubeClient;
  readonly #manager: ManagedProcess;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> = Promise.resolve();
  #busy = false;

  private constructor(client: KubeClient, manager: ManagedProcess) {
    this.#client = client;
    this.#manager = manager;
    this.#timer = setInterval(() => {
      if (this.#busy) return;
      this.#busy = true;
      this.#running = this.#settle().finally(() => {
        this.#busy = false;
      });
    }, TICK_MS);
  }

  static async start(cluster: Cluster): Promise<Surroundings> {
    const folder = cluster.subfolder('controller-manager');
    const manager = await startTool('kube-controller-manager', folder, [
      `--kubeconfig=${cluster.kubeConfigFile()}`,
      `--controllers=${CONTROLLERS.join(',')}`,
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      `--secure-port=${await freePort()}`,
      `--cert-dir=${folder}`,
    ]);
    return new Surroundings(cluster.client(), manager);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
    await this.#manager.stop();
  }

  async #settle(): Promise<void> {
    const set = async (resource: Resource, wants: (object: WithStatus) => object | undefined) => {
      const { items } = await this.#client.list<WithStatus>(resource);
      for (const object of items) {
        const status = wants(object);
        const { namespace = '', name = '' } = object.metadata;
        if (status)
          await this.#client.patch(
            resource,
            { namespace, name },
            'merge',
            { status },
            { subresource: 'status' },
          );
      }
    };
    try {
      await set(PODS, ({ status }) =>
        status?.conditions?.some(({ type }) => type === READY.type)
          ? undefined
          : { phase: 'Running', conditions: [READY] },
      );
      await set(INGRESSES, ({ status }) =>
        status?.loadBalancer?.ingress
          ? undefined
          : { loadBalancer: { ingress: [{ hostname: 'lb.example' }] } },
      );
      await set(AUTOSCALERS, ({ status }) =>
        status?.conditions
          ? undefined
          : {
              desiredReplicas: 1,
              conditions: [
                { type: 'AbleToScale', status: 'True', reason: 'ReadyForNewScale' },
                { type: 'ScalingActive', status: 'True', reason: 'ValidMetricFound' },
              ],
            },
      );
    } catch {
      // Gone meanwhile, or changed: the next tick sees it anew.
    }
  }
}
