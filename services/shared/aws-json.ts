import { hash } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { SignatureV4 } from '@smithy/signature-v4';

/** What names an error that says our clock is off; its answer's `date` tells by how much. */
const CLOCK_SKEW = new Set(['InvalidSignatureException', 'SignatureDoesNotMatch', 'RequestExpired']);
const MAX_SKEW_MS = 60_000;

/** An error that a service answered with; shaped as the SDK's, so that `isThrottle` and `isRetryable` know it. */
export class AwsJsonError extends Error {
  readonly $metadata: { readonly httpStatusCode: number };

  /** @param name without its namespace: `ValidationException` … */
  constructor(name: string, message: string, httpStatusCode: number) {
    super(message);
    this.name = name;
    this.$metadata = { httpStatusCode };
  }
}

export interface AwsJsonOptions {
  /** Connections kept, and so calls in flight. Default 64. */
  maxSockets?: number;
  /** From the first byte out to the last byte in, and for the credentials before, in ms. Default 10,000. */
  requestTimeoutMs?: number;
}

/** How a service speaks the protocol. */
export interface AwsJsonService {
  /** As signatures name it. */
  name: string;
  /** What stands before an operation in `x-amz-target`. */
  target: string;
  version: '1.0' | '1.1';
}

/**
 * The JSON protocol of AWS without the SDK's serialisation, which is most of what a call with many records or items
 * costs: the caller gives the body as it goes over the wire. Endpoint, region, credentials and their refresh are
 * those of the SDK's client, signatures are made by the SDK's own signer. It does not retry.
 */
export class AwsJson {
  readonly #client: DynamoDBClient | KinesisClient;
  readonly #service: AwsJsonService;
  readonly #timeoutMs: number;
  readonly #agents: { http: HttpAgent; https: HttpsAgent };
  #target: Promise<Target> | undefined;
  /** How far the service's clock is ahead of ours, in ms. */
  #skewMs = 0;

  constructor(client: DynamoDBClient | KinesisClient, service: AwsJsonService, options: AwsJsonOptions = {}) {
    this.#client = client;
    this.#service = service;
    this.#timeoutMs = options.requestTimeoutMs ?? 10_000;
    const kept = { keepAlive: true, maxSockets: options.maxSockets ?? 64, scheduling: 'lifo' as const };
    this.#agents = { http: new HttpAgent(kept), https: new HttpsAgent(kept) };
  }

  /**
   * One call.
   *
   * @param operation `BatchWriteItem`, `PutRecords` …
   * @param body its JSON; as bytes, it is sent as it is.
   * @returns the answer's JSON text.
   * @throws AwsJsonError when the service refuses; an `Error` with a `code` or the name `TimeoutError` when the
   *   connection fails; an `AbortError` when `signal` aborts.
   */
  async call(operation: string, body: string | Buffer, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const { url, headers } = await this.#inTime(this.#signed(operation, bytes));
    const { status, text, date } = await this.#exchange(url, headers, bytes, signal);
    if (status === 200) return text;
    throw this.#failure(status, text, date);
  }

  async #signed(operation: string, bytes: Buffer): Promise<{ url: URL; headers: Record<string, string> }> {
    this.#target ??= resolveTarget(this.#client, this.#service.name);
    const target = await this.#target.catch((error: unknown) => {
      this.#target = undefined; // credentials or region may be there at the next attempt
      throw error;
    });
    const { headers } = await target.signer.sign(
      {
        method: 'POST',
        protocol: target.url.protocol,
        hostname: target.url.hostname,
        path: target.url.pathname,
        query: {},
        headers: {
          host: target.url.host,
          'content-type': `application/x-amz-json-${this.#service.version}`,
          'x-amz-target': `${this.#service.target}.${operation}`,
          // Given here, the signer does not hash the body a second time in its own, slower way.
          'x-amz-content-sha256': hash('sha256', bytes, 'hex'),
        },
      },
      { signingDate: new Date(Date.now() + this.#skewMs) },
    );
    return { url: target.url, headers };
  }

  /** Who gives out credentials may hang, and the SDK's clients for it have no time-out of their own. */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(timeoutError('no credentials', this.#timeoutMs)), this.#timeoutMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  #exchange(
    url: URL,
    headers: Record<string, string>,
    body: Buffer,
    signal: AbortSignal | undefined,
  ): Promise<{ status: number; text: string; date: string | undefined }> {
    const secure = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (secure ? httpsRequest : httpRequest)({
        agent: secure ? this.#agents.https : this.#agents.http,
        hostname: url.hostname,
        port: url.port,
        path: url.pathname,
        method: 'POST',
        headers: { ...headers, 'content-length': body.byteLength },
      });
      const abort = () => request.destroy(new DOMException('aborted', 'AbortError'));
      const timer = setTimeout(() => {
        request.destroy(timeoutError('no answer', this.#timeoutMs));
      }, this.#timeoutMs);
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      };
      const fail = (error: Error) => {
        settle();
        reject(error);
      };
      signal?.addEventListener('abort', abort, { once: true });
      request.on('error', fail);
      request.on('response', (response: IncomingMessage) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', fail);
        response.on('end', () => {
          settle();
          resolve({ status: response.statusCode ?? 0, text, date: response.headers.date });
        });
      });
      request.end(body);
    });
  }

  #failure(status: number, text: string, date: string | undefined): AwsJsonError {
    let parsed: { __type?: unknown; message?: unknown; Message?: unknown } = {};
    try {
      parsed = JSON.parse(text);
    } catch {
      // A proxy's page, or half an answer: the status says what there is to say.
    }
    const name = String(parsed?.__type ?? `Http${status}`)
      .split('#')
      .at(-1) as string;
    const serverTime = Date.parse(date ?? '');
    if (CLOCK_SKEW.has(name) && Math.abs(serverTime - Date.now() - this.#skewMs) > MAX_SKEW_MS) {
      this.#skewMs = serverTime - Date.now();
    }
    return new AwsJsonError(name, String(parsed?.message ?? parsed?.Message ?? `status ${status}`), status);
  }
}

function timeoutError(what: string, timeoutMs: number): Error {
  const error = new Error(`${what} in ${timeoutMs} ms`);
  error.name = 'TimeoutError';
  return error;
}

interface Target {
  url: URL;
  signer: SignatureV4;
}

async function resolveTarget({ config }: DynamoDBClient | KinesisClient, service: string): Promise<Target> {
  const region = await config.region();
  const own = config.endpoint ? await config.endpoint() : undefined;
  const url = own
    ? new URL(
        `${own.protocol}//${own.hostname}${own.port === undefined ? '' : `:${own.port}`}${own.path || '/'}`,
      )
    : config.endpointProvider({
        Region: region,
        UseFIPS: await config.useFipsEndpoint(),
        UseDualStack: await config.useDualstackEndpoint(),
      }).url;
  const signer = new SignatureV4({
    service,
    region,
    credentials: config.credentials,
    sha256: config.sha256,
    applyChecksum: false,
  });
  return { url, signer };
}
