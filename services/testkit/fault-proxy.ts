import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the proxy does with one request instead of passing it on as it is. */
type Fault =
  /** Answers with an AWS error, and the service never sees the request. */
  | { kind: 'error'; status: number; type: string }
  /** Breaks the connection, and the service never sees the request. */
  | { kind: 'reset' }
  /** The service carries the request out, then the connection breaks before the answer. */
  | { kind: 'lost-answer' }
  /** Holds the request back. */
  | { kind: 'latency'; ms: number }
  /** BatchWriteItem: only the first `n` items of each table reach the service, the others come back unprocessed. */
  | { kind: 'unprocessed'; n: number };

/** An HTTP proxy before an emulator that makes the faults which the emulator can't. */
export interface FaultProxy {
  readonly endpoint: string;
  /** Operations that came, in order: `BatchWriteItem` … */
  readonly operations: readonly string[];
  /** The next requests of an operation get these faults, one each, in this order; what was planned before is forgotten. */
  plan(operation: string, ...faults: Fault[]): void;
  /** The requests of an operation for which nothing is planned get this fault from now on. */
  always(operation: string, fault: Fault): void;
  stop(): Promise<void>;
}

type Tables = Record<string, unknown[]>;

/** Starts a proxy before `target`, a DynamoDB or Kinesis endpoint that speaks AWS's JSON protocol. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const planned = new Map<string, Fault[]>();
  const lasting = new Map<string, Fault>();
  const operations: string[] = [];
  const server = createServer((request, response) => {
    const operation = String(request.headers['x-amz-target']).split('.').at(-1) ?? '';
    operations.push(operation);
    void handle(request, response, planned.get(operation)?.shift() ?? lasting.get(operation)).catch(() =>
      request.destroy(),
    );
  });

  async function handle(
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault | undefined,
  ): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    let body = Buffer.concat(chunks);
    let held: Tables | undefined;
    switch (fault?.kind) {
      case 'error':
        response.writeHead(fault.status, { 'content-type': 'application/x-amz-json-1.0' });
        response.end(JSON.stringify({ __type: `com.amazonaws#${fault.type}`, message: 'planned' }));
        return;
      case 'reset':
        request.socket.destroy();
        return;
      case 'latency':
        await new Promise((resolve) => setTimeout(resolve, fault.ms));
        break;
      case 'unprocessed':
        ({ body, held } = withhold(body, fault.n));
        break;
    }
    const answer = await forward(target, request, body);
    if (fault?.kind === 'lost-answer') {
      request.socket.destroy();
      return;
    }
    const text = held ? JSON.stringify({ ...JSON.parse(answer.text), UnprocessedItems: held }) : answer.text;
    response.writeHead(answer.status, { 'content-type': answer.type });
    response.end(text);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    operations,
    plan(operation, ...faults) {
      planned.set(operation, faults);
    },
    always(operation, fault) {
      lasting.set(operation, fault);
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
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

async function forward(target: string, from: IncomingMessage, body: Buffer) {
  return new Promise<{ status: number; type: string; text: string }>((resolve, reject) => {
    const headers = { ...from.headers, 'content-length': String(body.length) };
    const outgoing = httpRequest(target, { method: 'POST', headers, agent: false }, (answer) => {
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
