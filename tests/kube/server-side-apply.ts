import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest } from '../../cdk8s/render.ts';
import { Transport } from '../../services/controller/runtime/api/transport.ts';
import { systemClock } from '../../services/shared/clock.ts';
import type { Cluster } from './cluster.ts';

/** An object as the server holds it. */
export type Stored = Manifest & { metadata: { resourceVersion: string; uid: string } };

interface Options {
  manager?: string;
  /** Tries it, admission included, and keeps nothing. */
  dryRun?: boolean;
  subresource?: string;
  /** What is sent instead of the manifest, to its subresource. */
  body?: object;
}

/**
 * Applies manifests to a cluster as Argo CD does with `ServerSideApply=true`: with force, for a field manager, and with a field that
 * the kind doesn't have as an error, which `kubectl apply` only warns of.
 */
export class Applier {
  readonly #transport: Transport;
  /** Path of the collection by group, version and kind; `{}` stands for the namespace. */
  readonly #paths = new Map<string, string>();

  constructor(cluster: Cluster) {
    this.#transport = new Transport(cluster.kubeConfig(), systemClock, 'weir-tests');
  }

  close(): void {
    this.#transport.close();
  }

  async apply(
    manifest: Manifest,
    { manager = 'argocd-controller', ...options }: Options = {},
  ): Promise<Stored> {
    const query = new URLSearchParams({ fieldManager: manager, force: 'true', fieldValidation: 'Strict' });
    return await this.#call('PATCH', manifest, options, query, 'application/apply-patch+yaml');
  }

  /** Makes an object that must not be there yet. */
  async create(manifest: Manifest, options: Options = {}): Promise<Stored> {
    const query = new URLSearchParams({ fieldValidation: 'Strict' });
    return await this.#call('POST', manifest, options, query, 'application/json');
  }

  async replace(manifest: Manifest, options: Options = {}): Promise<Stored> {
    return await this.#call('PUT', manifest, options, new URLSearchParams(), 'application/json');
  }

  async delete(manifest: Manifest): Promise<void> {
    await this.#call('DELETE', manifest, {}, new URLSearchParams(), 'application/json');
  }

  async get(manifest: Manifest, options: Options = {}): Promise<Stored> {
    return await this.#call('GET', manifest, options, new URLSearchParams(), 'application/json');
  }

  async #call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    manifest: Manifest,
    { dryRun = false, subresource, body = manifest }: Options,
    query: URLSearchParams,
    contentType: string,
  ): Promise<Stored> {
    if (dryRun) query.set('dryRun', 'All');
    const collection = (await this.#pathOf(manifest)).replace('{}', manifest.metadata.namespace ?? '');
    const name = method === 'POST' ? '' : `/${manifest.metadata.name}`;
    return await this.#transport.json<Stored>({
      method,
      path: `${collection}${name}${subresource === undefined ? '' : `/${subresource}`}?${query}`,
      timeoutMs: 10_000,
      ...(method === 'GET' || method === 'DELETE' ? {} : { contentType, body: JSON.stringify(body) }),
    });
  }

  /** From the server's own list of kinds; a kind whose definition was just made takes a moment to be served. */
  async #pathOf({ apiVersion, kind }: Manifest): Promise<string> {
    const key = `${apiVersion}/${kind}`;
    const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    for (let i = 0; i < 100 && !this.#paths.has(key); i++) {
      if (i > 0) await sleep(50);
      const list = await this.#transport
        .json<{ resources: { name: string; kind: string; namespaced: boolean }[] }>({
          method: 'GET',
          path: group,
          timeoutMs: 10_000,
        })
        .catch(() => ({ resources: [] }));
      for (const { name, kind: of, namespaced } of list.resources)
        if (!name.includes('/'))
          this.#paths.set(`${apiVersion}/${of}`, `${group}${namespaced ? '/namespaces/{}' : ''}/${name}`);
    }
    const path = this.#paths.get(key);
    if (path === undefined) throw new Error(`the cluster does not serve ${key}`);
    return path;
  }
}
