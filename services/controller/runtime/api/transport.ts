import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Clock } from '../../../shared/clock.ts';
import { ApiError, apiErrorOf } from './errors.ts';

/** One HTTP call to the API server. */
export interface ApiRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with its query. */
  path: string;
  body?: string;
  contentType?: string;
  /** From start to last byte, in ms; of a watch only until its headers. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** Longest answer that is read: a page of 500 large objects. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** How long credentials are used before the configuration is asked for them again. */
const CREDENTIALS_MS = 10_000;
const MAX_SOCKETS = 32;

interface Credentials {
  headers: Record<string, string>;
  agent: HttpAgent;
  until: number;
}

/**
 * HTTP to the API server with the addresses and credentials of a `KubeConfig`.
 *
 * Only the configuration is client-node's: its own calls build a new dispatcher, thus a new TLS connection, for each
 * request (2.0.1, `applySecurityAuthentication`), and its agent keeps the CA that it started with. Here connections are
 * kept, and a rotated CA, certificate or token is taken up within 10 s.
 */
export class Transport {
  readonly #config: KubeConfig;
  readonly #clock: Clock;
  readonly #server: URL;
  readonly #userAgent: string;
  #credentials: Credentials | undefined;
  #loading: Promise<Credentials> | undefined;
  /** What the current agent was made of. */
  #material = '';

  /** @throws Error when the configuration has no current cluster. */
  constructor(config: KubeConfig, clock: Clock, userAgent: string) {
    const cluster = config.getCurrentCluster();
    if (!cluster) throw new Error('the kubeconfig has no current cluster');
    this.#config = config;
    this.#clock = clock;
    this.#server = new URL(cluster.server);
    this.#userAgent = userAgent;
  }

  /**
   * Makes a call and reads its whole answer.
   *
   * @returns the parsed JSON body.
   * @throws ApiError in every case of failure.
   */
  async json<T>(request: ApiRequest): Promise<T> {
    const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(request.timeoutMs)));
    const signal = request.signal ? AbortSignal.any([deadline, request.signal]) : deadline;
    const what = describe(request);
    let text: string;
    try {
      const response = await this.#send(request, signal);
      text = await read(response);
      const status = response.statusCode ?? 0;
      if (status < 200 || status > 299) throw this.#refusal(what, response, text);
    } catch (error) {
      throw translate(what, error, deadline.aborted ? request.timeoutMs : undefined);
    }
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new ApiError('bad-answer', `${what}: the answer is no JSON`, { cause });
    }
  }

  /**
   * Opens a call whose answer is read as it comes.
   *
   * @throws ApiError when it is refused, or its headers take longer than `timeoutMs`.
   */
  async stream(request: ApiRequest): Promise<IncomingMessage> {
    const what = describe(request);
    const opening = new AbortController();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      opening.abort();
    }, request.timeoutMs);
    const signal = request.signal ? AbortSignal.any([opening.signal, request.signal]) : opening.signal;
    try {
      const response = await this.#send(request, signal);
      if (response.statusCode !== 200) throw this.#refusal(what, response, await read(response));
      return response;
    } catch (error) {
      throw translate(what, error, late ? request.timeoutMs : undefined);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Drops the kept connections. */
  close(): void {
    this.#credentials?.agent.destroy();
    this.#credentials = undefined;
  }

  #refusal(what: string, response: IncomingMessage, text: string): ApiError {
    const status = response.statusCode ?? 0;
    // Perhaps the token was replaced a moment ago: read it again for the next call.
    if (status === 401 && this.#credentials) this.#credentials.until = 0;
    return apiErrorOf(what, status, text, response.headers['retry-after']);
  }

  async #send(request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { headers, agent } = await this.#current();
    const { body } = request;
    const send = this.#server.protocol === 'https:' ? httpsRequest : httpRequest;
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = send(
        {
          agent,
          signal,
          method: request.method,
          host: this.#server.hostname.replace(/^\[(.*)\]$/, '$1'),
          port: this.#server.port,
          path: `${this.#server.pathname.replace(/\/$/, '')}${request.path}`,
          headers: {
            ...headers,
            accept: 'application/json',
            'user-agent': this.#userAgent,
            ...(body === undefined
              ? {}
              : {
                  'content-type': request.contentType ?? 'application/json',
                  'content-length': Buffer.byteLength(body),
                }),
          },
        },
        resolve,
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  async #current(): Promise<Credentials> {
    if (this.#credentials && this.#clock.monotonic() < this.#credentials.until) return this.#credentials;
    // One at a time: an exec plugin is a process, and each call may take a second.
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    return await this.#loading;
  }

  async #load(): Promise<Credentials> {
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
    if (options.auth) headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
    const tls = Object.fromEntries(
      Object.entries({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }).filter(
        ([, value]) => value !== undefined,
      ),
    );
    const material = JSON.stringify(tls);
    let agent = this.#credentials?.agent;
    if (!agent || material !== this.#material) {
      // Running calls of the old agent end by themselves: of a watch the server's timeout sees to that.
      agent = this.#agent(tls, options.agent);
      this.#material = material;
    }
    this.#credentials = { headers, agent, until: this.#clock.monotonic() + CREDENTIALS_MS };
    return this.#credentials;
  }

  #agent(tls: object, offered: RequestOptions['agent']): HttpAgent {
    // Behind a proxy client-node's own agent knows how.
    if (this.#config.getCurrentCluster()?.proxyUrl && offered instanceof HttpAgent) return offered;
    const options = { ...tls, keepAlive: true, maxSockets: MAX_SOCKETS };
    return this.#server.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new ApiError('bad-answer', `the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function describe({ method, path }: ApiRequest): string {
  return `${method} ${path.split('?', 1)[0]}`;
}

/** Whatever a call threw, as an `ApiError`. @param timeoutMs set when its time was up. */
function translate(what: string, error: unknown, timeoutMs: number | undefined): ApiError {
  if (error instanceof ApiError) return error;
  if (timeoutMs !== undefined) {
    return new ApiError('timeout', `${what}: no answer within ${timeoutMs} ms`, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError('network', `${what}: ${message}`, { cause: error });
}
