import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { callOf, dispatch, refuse } from './dispatch.ts';
import { type Request, type Response, startDualServer } from './dual-server.ts';
import { EVENT_STREAM_TYPE } from './event-stream.ts';
import { type Fault, FaultPlan } from './faults.ts';
import { DAY_MS, type LimitOptions, resolveLimits } from './limits.ts';
import {
  CONTENT_TYPE,
  invalidArgument,
  KinesisError,
  operationOf,
  parseInput,
  streamNotFound,
} from './protocol.ts';
import { KinesisService } from './service.ts';
import { subscribeToShard } from './subscribe.ts';
import type { Subscription } from './subscription.ts';

export interface KinesisDoubleOptions {
  /** AWS's limits, none, or AWS's with some changed. Default `aws`. */
  limits?: LimitOptions;
  /** Time of records, limits, iterators and changes. Default the system's. */
  clock?: Clock;
  /** How long a stream stays CREATING, UPDATING or DELETING, in ms. Default 20. */
  changeMs?: number;
  /** How late each answer comes, in ms. Default 0. */
  latencyMs?: number;
  /** How long records are kept, in ms. Default 24 h. */
  retentionMs?: number;
  /** Bytes of records that a shard keeps; the oldest go first, 0 keeps none. Default 64 MiB. */
  retainedBytesPerShard?: number;
  /** How long after its arrival a record is pushed to subscribers, in ms; on AWS typically 70. Default 0. */
  pushDelayMs?: number;
  /** How long a subscription lives, in ms. Default 5 min. */
  subscriptionMs?: number;
}

/** A record of the double, for a test to look at. */
interface StoredRecord {
  shardId: string;
  sequenceNumber: string;
  partitionKey: string;
  data: Buffer;
  /** ms since the epoch. */
  arrivedAt: number;
}

/** A running double of Kinesis Data Streams. */
export interface KinesisDouble {
  /** For `AWS_ENDPOINT_URL_KINESIS`. */
  readonly endpoint: string;
  /** What is done to calls to come. */
  readonly faults: FaultPlan;
  /** Calls that came, by operation, refused ones included. */
  readonly calls: ReadonlyMap<string, number>;
  /** Makes an ACTIVE stream at once. */
  createStream(name: string, shards: number): void;
  /** What a stream keeps, by shard and in its order. @throws KinesisError when there is no such stream. */
  records(stream: string): StoredRecord[];
  /** Records that were stored in a stream, those included that it no longer keeps. */
  storedCount(stream: string): number;
  setLimits(limits: LimitOptions): void;
  setLatency(ms: number): void;
  /** Subscriptions that are being pushed to. */
  readonly subscriptions: number;
  /** Makes all iterators that were given out until now expired ones. */
  expireIterators(): void;
  /** Breaks all connections and closes. */
  stop(): Promise<void>;
}

const MIB = 1024 * 1024;
const SUBSCRIPTION_MS = 300_000;

/** Starts a double on a free port of the loopback interface. */
export async function startKinesisDouble(options: KinesisDoubleOptions = {}): Promise<KinesisDouble> {
  const clock = options.clock ?? systemClock;
  const service = new KinesisService({
    clock,
    limits: resolveLimits(options.limits ?? 'aws'),
    changeMs: options.changeMs ?? 20,
    retentionMs: options.retentionMs ?? DAY_MS,
    retainedBytesPerShard: options.retainedBytesPerShard ?? 64 * MIB,
    pushDelayMs: options.pushDelayMs ?? 0,
    subscriptionMs: options.subscriptionMs ?? SUBSCRIPTION_MS,
  });
  const faults = new FaultPlan();
  const calls = new Map<string, number>();
  const stopped = new AbortController();
  setMaxListeners(0, stopped.signal);
  let latencyMs = options.latencyMs ?? 0;

  async function handle(request: Request, response: Response): Promise<void> {
    const body = await readBody(request);
    const operation = operationOf(request.headers['x-amz-target']?.toString()) ?? '';
    calls.set(operation, (calls.get(operation) ?? 0) + 1);
    const { status, text, fault, subscription } = carryOut(operation, body, 'stream' in request);
    const delay = latencyMs + (fault?.kind === 'latency' ? fault.ms : 0);
    if (delay > 0) await clock.sleep(delay, stopped.signal);
    response.setHeader('date', new Date(service.now).toUTCString());
    if (fault?.kind === 'lost-answer' || fault?.kind === 'reset') breakConnection(request);
    else if (subscription && 'stream' in response) {
      response.writeHead(200, { 'content-type': EVENT_STREAM_TYPE, 'x-amzn-requestid': randomUUID() });
      await subscription.run(response.stream, fault?.kind === 'subscription' ? fault : undefined);
    } else send(response, status, fault?.kind === 'http-500' ? 'text/html' : CONTENT_TYPE, text);
  }

  function carryOut(operation: string, body: string, http2: boolean): Outcome {
    let fault: Fault | undefined;
    try {
      const input = parseInput(body);
      fault = faults.take(callOf(service, operation, input));
      if (fault?.kind === 'reset') return { status: 0, text: '', fault };
      if (fault?.kind === 'http-500') {
        return { status: fault.status ?? 500, text: '<html>Internal Server Error</html>', fault };
      }
      if (fault?.kind === 'answer') return { status: 200, text: fault.text, fault };
      if (operation === 'SubscribeToShard') {
        if (!http2) throw invalidArgument('SubscribeToShard is answered over HTTP/2 only.');
        if (fault) refuse(operation, fault);
        return {
          status: 200,
          text: '',
          subscription: subscribeToShard(service, input),
          ...(fault && { fault }),
        };
      }
      return { status: 200, text: dispatch(service, operation, input, fault), ...(fault && { fault }) };
    } catch (error) {
      if (!(error instanceof KinesisError)) throw error;
      return { status: error.status, text: JSON.stringify(error), ...(fault && { fault }) };
    }
  }

  const server = await startDualServer(handle);

  function stream(name: string) {
    const found = service.lookUp(name);
    if (!found) throw streamNotFound(name);
    return found;
  }

  return {
    endpoint: `http://127.0.0.1:${server.port}`,
    faults,
    calls,
    createStream: (name, shards) => service.create(name, shards, { changeMs: 0 }),
    records: (name) => {
      const shards = stream(name).listed(service.now);
      stream(name).trim(shards, service.now);
      return shards.flatMap((shard) =>
        [...shard.kept()].map(({ sequenceNumber, partitionKey, data, arrivedAt }) => ({
          shardId: shard.id,
          sequenceNumber,
          partitionKey,
          data: Buffer.from(data, 'base64'),
          arrivedAt,
        })),
      );
    },
    storedCount: (name) => stream(name).stored,
    setLimits: (limits) => service.setLimits(resolveLimits(limits)),
    setLatency: (ms) => {
      latencyMs = ms;
    },
    expireIterators: () => {
      service.iteratorEpoch++;
    },
    get subscriptions() {
      return service.subscriptions.active.length;
    },
    async stop() {
      stopped.abort();
      await server.stop();
    },
  };
}

/** What a call came to. */
interface Outcome {
  status: number;
  text: string;
  fault?: Fault;
  /** What SubscribeToShard answers with, instead of a text. */
  subscription?: Subscription;
}

function breakConnection(request: Request): void {
  if ('stream' in request) request.stream.session?.destroy();
  else request.socket.destroy();
}

async function readBody(request: Request): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: Response, status: number, type: string, text: string): void {
  if (response.destroyed) return;
  (response as ServerResponse).writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'x-amzn-requestid': randomUUID(),
  });
  response.end(text);
}
