import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { close, listen } from '../../shared/server.ts';
import { callOf, dispatch } from './dispatch.ts';
import { type Fault, FaultPlan } from './faults.ts';
import { DAY_MS, type LimitOptions, resolveLimits } from './limits.ts';
import { CONTENT_TYPE, KinesisError, operationOf, parseInput, streamNotFound } from './protocol.ts';
import { KinesisService } from './service.ts';

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
  /** Makes all iterators that were given out until now expired ones. */
  expireIterators(): void;
  /** Breaks all connections and closes. */
  stop(): Promise<void>;
}

const MIB = 1024 * 1024;

/** Starts a double on a free port of the loopback interface. */
export async function startKinesisDouble(options: KinesisDoubleOptions = {}): Promise<KinesisDouble> {
  const clock = options.clock ?? systemClock;
  const service = new KinesisService({
    clock,
    limits: resolveLimits(options.limits ?? 'aws'),
    changeMs: options.changeMs ?? 20,
    retentionMs: options.retentionMs ?? DAY_MS,
    retainedBytesPerShard: options.retainedBytesPerShard ?? 64 * MIB,
  });
  const faults = new FaultPlan();
  const calls = new Map<string, number>();
  const stopped = new AbortController();
  setMaxListeners(0, stopped.signal);
  let latencyMs = options.latencyMs ?? 0;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const operation = operationOf(request.headers['x-amz-target']?.toString()) ?? '';
    calls.set(operation, (calls.get(operation) ?? 0) + 1);
    const { status, text, fault } = carryOut(operation, body);
    const delay = latencyMs + (fault?.kind === 'latency' ? fault.ms : 0);
    if (delay > 0) await clock.sleep(delay, stopped.signal);
    if (fault?.kind === 'lost-answer' || fault?.kind === 'reset') request.socket.destroy();
    else send(response, status, fault?.kind === 'http-500' ? 'text/html' : CONTENT_TYPE, text);
  }

  function carryOut(operation: string, body: string): { status: number; text: string; fault?: Fault } {
    let fault: Fault | undefined;
    try {
      const input = parseInput(body);
      fault = faults.take(callOf(service, operation, input));
      if (fault?.kind === 'reset') return { status: 0, text: '', fault };
      if (fault?.kind === 'http-500') {
        return { status: fault.status ?? 500, text: '<html>Internal Server Error</html>', fault };
      }
      return { status: 200, text: dispatch(service, operation, input, fault), ...(fault && { fault }) };
    } catch (error) {
      if (!(error instanceof KinesisError)) throw error;
      return { status: error.status, text: JSON.stringify(error), ...(fault && { fault }) };
    }
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      // Ours, or a client that went away: the connection says so, and the error is there to be seen.
      if (!request.destroyed) response.destroy(error instanceof Error ? error : undefined);
    });
  });
  const port = await listen(server, 0, '127.0.0.1');

  function stream(name: string) {
    const found = service.lookUp(name);
    if (!found) throw streamNotFound(name);
    return found;
  }

  return {
    endpoint: `http://127.0.0.1:${port}`,
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
    async stop() {
      stopped.abort();
      server.closeAllConnections();
      await close(server);
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'x-amzn-requestid': randomUUID(),
  });
  response.end(text);
}
