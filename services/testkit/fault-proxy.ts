import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { connect, type Socket } from 'node:net';
import { listenByPreface } from './by-preface.ts';

/** What the proxy does with one request instead of passing it on as it is. */
export type ProxyFault =
  /** Answers with an AWS error, and the service never sees the request. */
  | { kind: 'error'; status: number; type: string }
  /** Something else answers, with status 200, and the service never sees the request. */
  | { kind: 'answer'; text: string }
  /** Breaks the connection, and the service never sees the request. */
  | { kind: 'reset' }
  /** The service carries the request out, then the connection breaks before the answer. */
  | { kind: 'lost-answer' }
  /** Holds the request back. */
  | { kind: 'latency'; ms: number }
  /** BatchWriteItem: only the first `n` items of each table reach the service, the others come back unprocessed. */
  | { kind: 'unprocessed'; n: number };

/** A call as it came. */
export interface ProxiedCall {
  operation: string;
  /** Path of its URL, by which callers may be told apart; the emulator sees `/`. */
  path: string;
  body: Buffer;
}

/** Is asked about each call that no planned fault befalls. */
export interface ProxyRule {
  /** The call waits for it before the service sees it. */
  before(call: ProxiedCall): Promise<ProxyFault | undefined>;
  /** The answer waits for it. @param status of the service's answer; `undefined` when the service did not see the call. */
  after(call: ProxiedCall, status: number | undefined): Promise<void>;
}

/** An HTTP proxy before an emulator that makes the faults which the emulator can't. */
export interface FaultProxy {
  readonly endpoint: string;
  /** Operations that came, in order, where there is no rule: `BatchWriteItem` … */
  readonly operations: readonly string[];
  /** The next requests of an operation get these faults, one each, in this order; what was planned before is forgotten. */
  plan(operation: string, ...faults: ProxyFault[]): void;
  /** The requests of an operation for which nothing is planned get this fault from now on. */
  always(operation: string, fault: ProxyFault): void;
  /** Breaks the connections of HTTP/2, which are passed on as they are: SubscribeToShard's. */
  breakSubscriptions(): void;
  stop(): Promise<void>;
}

type Tables = Record<string, unknown[]>;

/** Starts a proxy before `target`, a DynamoDB or Kinesis endpoint that speaks AWS's JSON protocol. */
export async function startFaultProxy(target: string, rule?: ProxyRule): Promise<FaultProxy> {
  const agent = new Agent({ keepAlive: true });
  const planned = new Map<string, ProxyFault[]>();
  const lasting = new Map<string, ProxyFault>();
  const operations: string[] = [];
  const server = createServer((request, response) => {
    const operation = String(request.headers['x-amz-target']).split('.').at(-1) ?? '';
    if (!rule) operations.push(operation);
    void serve(request, response, operation).catch(() => request.destroy());
  });

  async function serve(request: IncomingMessage, response: ServerResponse, operation: string): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const call = { operation, path: request.url ?? '/', body: Buffer.concat(chunks) };
    const fault = planned.get(operation)?.shift() ?? lasting.get(operation) ?? (await rule?.before(call));
    await handle(request, response, call, fault);
  }

  async function handle(
    request: IncomingMessage,
    response: ServerResponse,
    call: ProxiedCall,
    fault: ProxyFault | undefined,
  ): Promise<void> {
    let body: Buffer = call.body;
    let held: Tables | undefined;
    switch (fault?.kind) {
      case 'error':
        await rule?.after(call, undefined);
        response.writeHead(fault.status, { 'content-type': 'application/x-amz-json-1.0' });
        response.end(JSON.stringify({ __type: `com.amazonaws#${fault.type}`, message: 'planned' }));
        return;
      case 'answer':
        await rule?.after(call, undefined);
        response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(fault.text);
        return;
      case 'reset':
        await rule?.after(call, undefined);
        request.socket.destroy();
        return;
      case 'latency':
        await new Promise((resolve) => setTimeout(resolve, fault.ms));
        break;
      case 'unprocessed':
        ({ body, held } = withhold(body, fault.n));
        break;
    }
    const answer = await forward(target, request, body, agent).catch(async (error: unknown) => {
      await rule?.after(call, undefined);
      throw error;
    });
    await rule?.after(call, answer.status);
    if (fault?.kind === 'lost-answer') {
      request.socket.destroy();
      return;
    }
    const text = held ? JSON.stringify({ ...JSON.parse(answer.text), UnprocessedItems: held }) : answer.text;
    response.writeHead(answer.status, { 'content-type': answer.type });
    response.end(text);
  }

  const tunnels = new Set<Socket>();
  function tunnel(socket: Socket): void {
    const onward = connect(Number(new URL(target).port), '127.0.0.1');
    tunnels.add(socket);
    onward.on('error', () => {}).once('close', () => socket.destroy());
    socket.once('close', () => {
      tunnels.delete(socket);
      onward.destroy();
    });
    socket.pipe(onward).pipe(socket);
  }

  const listener = await listenByPreface({
    http1: (socket) => server.emit('connection', socket),
    http2: tunnel,
  });
  return {
    endpoint: `http://127.0.0.1:${listener.port}`,
    operations,
    plan(operation, ...faults) {
      planned.set(operation, faults);
    },
    always(operation, fault) {
      lasting.set(operation, fault);
    },
    breakSubscriptions() {
      for (const socket of tunnels) socket.destroy();
    },
    async stop() {
      agent.destroy();
      await listener.stop();
    },
  };
}

/** Splits a BatchWriteItem request: what goes on, and what is to come back as unprocessed. */
function withhold(body: Buffer, n: number): { body: Buffer<ArrayBuffer>; held: Tables } {
  const parsed = JSON.parse(body.toString()) as { RequestItems: Tables };
  const kept: Tables = {};
  const held: Tables = {};
  for (const [table, items] of Object.entries(parsed.RequestItems)) {
    if (n > 0) kept[table] = items.slice(0, n);
    if (items.length > n) held[table] = items.slice(n);
  }
  return { body: Buffer.from(JSON.stringify({ ...parsed, RequestItems: kept })), held };
}

async function forward(target: string, from: IncomingMessage, body: Buffer, agent: Agent) {
  return new Promise<{ status: number; type: string; text: string }>((resolve, reject) => {
    const headers = { ...from.headers, 'content-length': String(body.length) };
    const outgoing = httpRequest(target, { method: 'POST', headers, agent }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 502, type: String(answer.headers['content-type']), text });
      });
      answer.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
