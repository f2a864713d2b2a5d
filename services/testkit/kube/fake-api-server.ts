import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';

/** An object as it is stored. */
export interface StoredObject {
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    [field: string]: unknown;
  };
  [field: string]: unknown;
}

interface HistoryEntry {
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  collection: string;
  object: StoredObject;
}

interface WatchStream {
  collection: string;
  namespace: string | undefined;
  response: ServerResponse;
}

export interface SeenRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  contentType: string | undefined;
  body: unknown;
  /** The client's port: one for each of its connections. */
  port: number | undefined;
}

/** What to do with a request instead of answering it: a refusal, a cut connection before or after it is carried out, or silence. */
export type Fault =
  | { status: number; reason?: string; retryAfterSeconds?: number; body?: string }
  | 'cut'
  | 'lose-answer'
  | 'hang'
  | undefined;

/**
 * A small API server for tests that need it to misbehave: it speaks the protocol of lists (pages, continue tokens), watches
 * (history, bookmarks, 410) and writes with resourceVersion, on plain HTTP on loopback, for any kind. No schemas, no
 * defaults, no RBAC: those are the real one's.
 */
export class FakeApiServer {
  readonly requests: SeenRequest[] = [];
  /** Answers to GET of paths that are no objects, such as the discovery of a group: `/apis/apps/v1`. */
  readonly pages = new Map<string, unknown>();
  /** Asked before each request. */
  fault: (request: SeenRequest) => Fault = () => undefined;
  readonly #server: Server;
  readonly #objects = new Map<string, StoredObject>();
  readonly #watches = new Set<WatchStream>();
  /** Silent answers: they are ended with the server. */
  readonly #hanging = new Set<ServerResponse>();
  #history: HistoryEntry[] = [];
  #version = 100;
  /** Versions up to this one can no longer be watched from, nor can old pages be read. */
  #compacted = 0;
  #uids = 0;
  #port = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await fake.listen();
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get watching(): number {
    return this.#watches.size;
  }

  kubeConfig(): KubeConfig {
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      // client-node wants this flag before it speaks plain HTTP.
      { name: 'fake', server: this.url, skipTLSVerify: true },
      { name: 'fake', token: 'token' },
    );
    return config;
  }

  /** Listens, again on the same port after a `stop`. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.cutWatches();
    for (const response of this.#hanging) response.destroy();
    this.#hanging.clear();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** Stores an object, as somebody else's write. @param collection `apis/weir.dev/v1alpha1/streamscalers` */
  put(
    collection: string,
    object: {
      metadata: { name: string; namespace?: string; [field: string]: unknown };
      [field: string]: unknown;
    },
  ): StoredObject {
    const key = keyOf(collection, object.metadata.namespace, object.metadata.name);
    const before = this.#objects.get(key);
    const stored: StoredObject = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: before?.metadata.uid ?? `uid-${++this.#uids}`,
        resourceVersion: String(++this.#version),
      },
    };
    this.#objects.set(key, stored);
    this.#emit({ version: this.#version, type: before ? 'MODIFIED' : 'ADDED', collection, object: stored });
    return stored;
  }

  get(collection: string, namespace: string | undefined, name: string): StoredObject | undefined {
    return this.#objects.get(keyOf(collection, namespace, name));
  }

  remove(collection: string, namespace: string | undefined, name: string): void {
    const key = keyOf(collection, namespace, name);
    const before = this.#objects.get(key);
    if (!before) return;
    this.#objects.delete(key);
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(++this.#version) } };
    this.#emit({ version: this.#version, type: 'DELETED', collection, object });
  }

  /** All objects of a collection. */
  all(collection: string): StoredObject[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${collection}|`)).map(([, object]) => object);
  }

  /** Forgets the history, as etcd's compaction does: a watch from before gets 410. */
  compact(): void {
    this.#compacted = this.#version;
    this.#history = [];
  }

  /** Tells each watch how far it is. */
  bookmark(): void {
    for (const { response } of this.#watches) {
      write(response, { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.#version) } } });
    }
  }

  /** Sends a line as it is to each watch. */
  sendLine(line: string): void {
    for (const { response } of this.#watches) response.write(`${line}\n`);
  }

  /** Cuts each watch's connection in the middle. */
  cutWatches(): void {
    for (const { response } of this.#watches) response.destroy();
    this.#watches.clear();
  }

  /** Ends each watch as its timeout does. */
  endWatches(): void {
    for (const { response } of this.#watches) response.end();
    this.#watches.clear();
  }

  /** Keeps the watches open but tells them nothing any more, as a dead load balancer does. */
  muteWatches(): void {
    for (const { response } of this.#watches) this.#hanging.add(response);
    this.#watches.clear();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    const url = new URL(request.url ?? '/', this.url);
    const text = Buffer.concat(chunks).toString('utf8');
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      contentType: request.headers['content-type'],
      body: text === '' ? undefined : JSON.parse(text),
      port: request.socket.remotePort,
    };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault === 'cut') response.destroy();
    else if (fault === 'lose-answer') this.#answer(seen, discarding(response));
    else if (fault === 'hang') this.#hanging.add(response);
    else if (fault) refuse(response, fault);
    else this.#answer(seen, response);
  }

  #answer(seen: SeenRequest, response: ServerResponse): void {
    const page = this.pages.get(seen.path);
    if (page !== undefined) {
      send(response, 200, page);
      return;
    }
    const target = parsePath(seen.path);
    if (!target) {
      refuse(response, { status: 404, reason: 'NotFound' });
      return;
    }
    const { collection, namespace, name } = target;
    if (name === undefined) {
      if (seen.method === 'POST') this.#create(collection, namespace, seen, response);
      else if (seen.query.get('watch') === 'true') this.#watch(collection, namespace, seen, response);
      else this.#list(collection, namespace, seen, response);
      return;
    }
    const found = this.get(collection, namespace, name);
    if (!found) {
      refuse(response, { status: 404, reason: 'NotFound' });
      return;
    }
    if (seen.method === 'GET') send(response, 200, found);
    else if (seen.method === 'DELETE') {
      this.remove(collection, namespace, name);
      send(response, 200, found);
    } else this.#write(collection, found, target.subresource, seen, response);
  }

  #list(
    collection: string,
    namespace: string | undefined,
    seen: SeenRequest,
    response: ServerResponse,
  ): void {
    const limit = Number(seen.query.get('limit') ?? 0) || Number.POSITIVE_INFINITY;
    const [version = this.#version, from = 0] = (seen.query.get('continue') ?? '')
      .split(':')
      .filter((part) => part !== '')
      .map(Number);
    if (version < this.#compacted) {
      refuse(response, { status: 410, reason: 'Expired' });
      return;
    }
    const all = this.all(collection).filter(
      (o) => namespace === undefined || o.metadata.namespace === namespace,
    );
    const more = from + limit < all.length;
    send(response, 200, {
      kind: 'List',
      metadata: {
        resourceVersion: String(version),
        ...(more ? { continue: `${version}:${from + limit}` } : {}),
      },
      items: all.slice(from, from + limit),
    });
  }

  #watch(
    collection: string,
    namespace: string | undefined,
    seen: SeenRequest,
    response: ServerResponse,
  ): void {
    const from = Number(seen.query.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from < this.#compacted) {
      const object = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      write(response, { type: 'ERROR', object });
      response.end();
      return;
    }
    for (const entry of this.#history) {
      if (entry.version > from && matches(entry, collection, namespace)) write(response, entry);
    }
    const stream = { collection, namespace, response };
    this.#watches.add(stream);
    response.on('close', () => this.#watches.delete(stream));
  }

  #create(
    collection: string,
    namespace: string | undefined,
    seen: SeenRequest,
    response: ServerResponse,
  ): void {
    const body = seen.body as StoredObject;
    if (this.get(collection, namespace, body.metadata.name)) {
      refuse(response, { status: 409, reason: 'AlreadyExists' });
      return;
    }
    const metadata = { ...body.metadata, ...(namespace === undefined ? {} : { namespace }) };
    send(response, 201, this.put(collection, { ...body, metadata }));
  }

  #write(
    collection: string,
    found: StoredObject,
    subresource: string | undefined,
    seen: SeenRequest,
    response: ServerResponse,
  ): void {
    const body = seen.body as StoredObject;
    const wanted = body.metadata?.resourceVersion;
    if (wanted !== undefined && wanted !== found.metadata.resourceVersion) {
      refuse(response, { status: 409, reason: 'Conflict' });
      return;
    }
    const next =
      seen.method === 'PUT' && subresource === undefined
        ? { ...body, metadata: { ...found.metadata, ...body.metadata } }
        : subresource === 'status'
          ? { ...found, status: body.status }
          : { ...found, ...body, metadata: { ...found.metadata, ...body.metadata } };
    send(response, 200, this.put(collection, next));
  }

  #emit(entry: HistoryEntry): void {
    this.#history.push(entry);
    for (const watch of this.#watches) {
      if (matches(entry, watch.collection, watch.namespace)) write(watch.response, entry);
    }
  }
}

function keyOf(collection: string, namespace: string | undefined, name: string): string {
  return `${collection}|${namespace ?? ''}|${name}`;
}

function matches(entry: HistoryEntry, collection: string, namespace: string | undefined): boolean {
  return (
    entry.collection === collection &&
    (namespace === undefined || entry.object.metadata.namespace === namespace)
  );
}

/** `/apis/<group>/<version>[/namespaces/<namespace>]/<plural>[/<name>[/<subresource>]]`, or `/api/v1…`. */
function parsePath(path: string) {
  const pattern =
    /^\/((?:api|apis\/[^/]+)\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/;
  const found = pattern.exec(path);
  if (!found) return undefined;
  const [, prefix, namespace, plural, name, subresource] = found;
  return { collection: `${prefix}/${plural}`, namespace, name, subresource };
}

function write(response: ServerResponse, { type, object }: { type: string; object: unknown }): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Cuts the connection as soon as an answer is begun. */
function discarding(response: ServerResponse): ServerResponse {
  response.writeHead = () => {
    response.destroy();
    return response;
  };
  return response;
}

function refuse(response: ServerResponse, fault: Exclude<Fault, string | undefined>): void {
  const { status, reason = '', retryAfterSeconds, body } = fault;
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
  });
  response.end(
    body ??
      JSON.stringify({
        kind: 'Status',
        status: 'Failure',
        code: status,
        reason,
        message: `refused: ${reason}`,
      }),
  );
}
