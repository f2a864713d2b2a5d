import { createInterface } from 'node:readline';
import { ApiError, apiErrorOfStatus, type KubeStatus } from './errors.ts';
import type { Transport } from './transport.ts';

/** A kind of object, as the URL names it. */
export interface Resource {
  /** Empty for the core group. */
  group: string;
  version: string;
  plural: string;
  namespaced: boolean;
}

/** What every object has. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export interface ObjectList<T> {
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  items: T[];
}

/** An object's address. */
export interface ObjectName {
  namespace?: string | undefined;
  name: string;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** In ms; default 10,000. */
  timeoutMs?: number;
}

export interface ListOptions extends CallOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  limit?: number;
  continue?: string | undefined;
  resourceVersion?: string;
}

export interface WatchOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  resourceVersion: string;
  /** When the server ends the watch, in seconds. */
  timeoutSeconds: number;
  signal: AbortSignal;
}

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: { metadata: { resourceVersion: string } } };

/** How a patch is to be understood; the API server has no default. */
export type PatchType = 'merge' | 'json';

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
};

const DEFAULT_TIMEOUT_MS = 10_000;
/** An object is at most 1.5 MiB in etcd; its line in a watch a little more. */
const MAX_LINE_CHARS = 8 * 1024 * 1024;

/**
 * The verbs of the Kubernetes API on any resource. Every failure is an `ApiError`; nothing is tried twice here: the work
 * queue does that, with the server's `Retry-After`.
 */
export class KubeClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async get<T>(
    resource: Resource,
    at: ObjectName,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    return await this.#call<T>('GET', path(resource, at, options.subresource), options);
  }

  /** One page, when `limit` says so. */
  async list<T>(resource: Resource, options: ListOptions = {}): Promise<ObjectList<T>> {
    const query = new URLSearchParams();
    if (options.limit !== undefined) query.set('limit', String(options.limit));
    for (const name of ['continue', 'labelSelector', 'resourceVersion'] as const) {
      const value = options[name];
      if (value !== undefined && value !== '') query.set(name, value);
    }
    const url = `${path(resource, { namespace: options.namespace, name: '' })}?${query}`;
    const list = await this.#call<ObjectList<T>>('GET', url, options);
    if (!Array.isArray(list.items) || typeof list.metadata?.resourceVersion !== 'string') {
      throw new ApiError('bad-answer', `list of ${resource.plural}: the answer is no list`);
    }
    return list;
  }

  async create<T>(
    resource: Resource,
    namespace: string | undefined,
    object: unknown,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#call<T>('POST', path(resource, { namespace, name: '' }), {
      ...options,
      body: JSON.stringify(object),
    });
  }

  /** Replaces an object, or its subresource; its `resourceVersion`, when it has one, must still be the current one. */
  async update<T>(
    resource: Resource,
    at: ObjectName,
    object: unknown,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    return await this.#call<T>('PUT', path(resource, at, options.subresource), {
      ...options,
      body: JSON.stringify(object),
    });
  }

  async patch<T>(
    resource: Resource,
    at: ObjectName,
    type: PatchType,
    patch: unknown,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    return await this.#call<T>('PATCH', path(resource, at, options.subresource), {
      ...options,
      contentType: PATCH_TYPES[type],
      body: JSON.stringify(patch),
    });
  }

  /**
   * Server-side apply, with force: what `object` holds becomes the manager's, what it no longer holds goes.
   * A `resourceVersion` in it makes the apply fail with a conflict unless it is the current one.
   */
  async apply<T>(
    resource: Resource,
    at: ObjectName,
    manager: string,
    object: unknown,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    const query = new URLSearchParams({ fieldManager: manager, force: 'true' });
    return await this.#call<T>('PATCH', `${path(resource, at, options.subresource)}?${query}`, {
      ...options,
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify(object),
    });
  }

  async delete(resource: Resource, at: ObjectName, options: CallOptions = {}): Promise<void> {
    await this.#call('DELETE', path(resource, at), options);
  }

  /** A path that is no resource, such as `/apis/apps/v1`. */
  async raw<T>(url: string, options: CallOptions = {}): Promise<T> {
    return await this.#call<T>('GET', url, options);
  }

  /**
   * The events of a watch, until the server ends it (the generator returns) or `signal` does.
   *
   * @param onBytes called for each chunk that arrives, event or not: the sign of life.
   * @throws ApiError: the refusal, an ERROR event, a broken connection or line.
   */
  async *watch<T>(
    resource: Resource,
    options: WatchOptions,
    onBytes: () => void,
  ): AsyncGenerator<WatchEvent<T>> {
    const query = new URLSearchParams({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.timeoutSeconds),
    });
    if (options.labelSelector) query.set('labelSelector', options.labelSelector);
    const what = `watch of ${resource.plural}`;
    const response = await this.#transport.stream({
      method: 'GET',
      path: `${path(resource, { namespace: options.namespace, name: '' })}?${query}`,
      timeoutMs: DEFAULT_TIMEOUT_MS,
      signal: options.signal,
    });
    let pending = 0;
    response.on('data', (chunk: Buffer) => {
      onBytes();
      pending = chunk.includes(0x0a) ? 0 : pending + chunk.length;
      if (pending > MAX_LINE_CHARS)
        response.destroy(new ApiError('bad-answer', `${what}: a line has no end`));
    });
    const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
    let broken: Error | undefined;
    // readline ends its iteration at an error of its input without a word.
    response.on('error', (error) => {
      broken = error;
      lines.close();
    });
    try {
      for await (const line of lines) {
        if (line !== '') yield parseEvent<T>(what, line);
      }
    } finally {
      lines.close();
      response.destroy();
    }
    if (broken === undefined || options.signal.aborted) return;
    if (broken instanceof ApiError) throw broken;
    throw new ApiError('network', `${what}: ${broken.message}`, { cause: broken });
  }

  async #call<T>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    options: CallOptions & { body?: string; contentType?: string },
  ): Promise<T> {
    return await this.#transport.json<T>({
      method,
      path: url,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      signal: options.signal,
      ...(options.body === undefined ? {} : { body: options.body }),
      ...(options.contentType === undefined ? {} : { contentType: options.contentType }),
    });
  }
}

function parseEvent<T>(what: string, line: string): WatchEvent<T> {
  let event: { type?: string; object?: unknown };
  try {
    event = JSON.parse(line);
  } catch (cause) {
    throw new ApiError('bad-answer', `${what}: an event is no JSON`, { cause });
  }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return event as WatchEvent<T>;
    case 'ERROR':
      throw apiErrorOfStatus(what, event.object as KubeStatus);
    default:
      throw new ApiError('bad-answer', `${what}: an event of unknown type`);
  }
}

/** The URL path of an object, of its subresource, or, without a name, of the collection. */
function path(resource: Resource, at: ObjectName, subresource?: string): string {
  const { group, version, plural, namespaced } = resource;
  const parts = group === '' ? ['/api', version] : ['/apis', group, version];
  if (namespaced && at.namespace) parts.push('namespaces', encodeURIComponent(at.namespace));
  parts.push(plural);
  if (at.name !== '') parts.push(encodeURIComponent(at.name));
  if (subresource !== undefined) parts.push(subresource);
  return parts.join('/');
}
