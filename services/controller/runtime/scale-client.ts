import type { Clock } from '../../shared/clock.ts';
import type { KubeClient, KubeObject, Resource } from './api/client.ts';
import { ApiError, isApiError } from './api/errors.ts';

/** What a `scaleTargetRef` says. */
export interface TargetRef {
  apiVersion: string;
  kind: string;
  name: string;
}

/** `autoscaling/v1` Scale. */
export interface Scale extends KubeObject {
  spec: { replicas?: number };
  status?: { replicas: number; selector?: string };
}

interface ResourceList {
  resources: { name: string; kind: string; namespaced: boolean }[];
}

/** Kinds come and go with CRDs. */
const DISCOVERY_MS = 600_000;
/** One that was missing may be installed any moment. */
const MISSING_MS = 30_000;

/** `/scale` of whatever has one: Deployments, StatefulSets, custom kinds. */
export class ScaleClient {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #groups = new Map<string, { until: number; found: Promise<ResourceList | undefined> }>();

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /**
   * The scale of a target, with the `resourceVersion` that `set` holds it to.
   *
   * @throws ApiError `not-found` when the target or its kind isn't there, `invalid` when the kind can't be scaled.
   */
  async get(namespace: string, target: TargetRef, signal?: AbortSignal): Promise<Scale> {
    const resource = await this.#resource(target);
    return await this.#client.get<Scale>(
      resource,
      { namespace, name: target.name },
      { subresource: 'scale', signal },
    );
  }

  /**
   * Pods of the target that are ready, as its `status.readyReplicas` says: `/scale` only counts those that exist.
   *
   * @returns undefined when its kind does not say, or it may not be read.
   */
  async readyReplicas(
    namespace: string,
    target: TargetRef,
    signal?: AbortSignal,
  ): Promise<number | undefined> {
    const resource = await this.#resource(target);
    try {
      const { status } = await this.#client.get<{ status?: { readyReplicas?: number } }>(
        resource,
        { namespace, name: target.name },
        { signal },
      );
      // The workloads of Kubernetes leave the field out when it is zero; another kind may not have it at all.
      return status?.readyReplicas ?? (resource.group === 'apps' ? 0 : undefined);
    } catch (error) {
      if (isApiError(error, 'forbidden')) return undefined;
      throw error;
    }
  }

  /**
   * Asks for that many replicas.
   *
   * @param scale as `get` answered it.
   * @throws ApiError `conflict` when the target was changed since then.
   */
  async set(
    namespace: string,
    target: TargetRef,
    scale: Scale,
    replicas: number,
    signal?: AbortSignal,
  ): Promise<Scale> {
    const resource = await this.#resource(target);
    return await this.#client.update<Scale>(
      resource,
      { namespace, name: target.name },
      { ...scale, spec: { ...scale.spec, replicas } },
      { subresource: 'scale', signal },
    );
  }

  async #resource({ apiVersion, kind }: TargetRef): Promise<Resource> {
    const [version = '', group = ''] = apiVersion.split('/').reverse();
    const list = await this.#discover(group, version);
    const found = list?.resources.find((r) => r.kind === kind && !r.name.includes('/'));
    if (!list || !found) throw new ApiError('not-found', `the cluster has no kind ${kind} in ${apiVersion}`);
    if (!list.resources.some(({ name }) => name === `${found.name}/scale`)) {
      throw new ApiError('invalid', `${kind} in ${apiVersion} has no scale subresource`);
    }
    return { group, version, plural: found.name, namespaced: found.namespaced };
  }

  /** @returns undefined when there is no such group or version. */
  async #discover(group: string, version: string): Promise<ResourceList | undefined> {
    const url = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const known = this.#groups.get(url);
    if (known && this.#clock.monotonic() < known.until) return await known.found;
    const found = this.#client.raw<ResourceList>(url).catch((error: unknown) => {
      if (isApiError(error, 'not-found')) return undefined;
      this.#groups.delete(url);
      throw error;
    });
    const entry = { until: this.#clock.monotonic() + MISSING_MS, found };
    this.#groups.set(url, entry);
    if ((await found) !== undefined) entry.until = this.#clock.monotonic() + DISCOVERY_MS;
    return await found;
  }
}
