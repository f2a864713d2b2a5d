import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A DynamoDB that answers BatchWriteItem to one table by itself, and leaves everything else to another one. */
export interface FastStore {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/**
 * @param table whose items are taken, and not kept.
 * @param others endpoint for all other calls.
 * @param latencyMs after which a BatchWriteItem call is answered.
 * @param stored told the body of each such call when its items are readable.
 */
export async function startFastStore(
  table: string,
  others: string,
  latencyMs: number,
  stored: (body: string) => void,
): Promise<FastStore> {
  const target = new URL(others);
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const operation = String(request.headers['x-amz-target']).split('.').at(-1);
    if (operation === 'BatchWriteItem' && body.includes(`"${table}"`)) {
      setTimeout(() => {
        stored(body.toString());
        response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' });
        response.end('{"UnprocessedItems":{}}');
      }, latencyMs);
      return;
    }
    const { hostname, port } = target;
    const forwarded = httpRequest(
      { hostname, port, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    forwarded.on('error', () => response.destroy());
    forwarded.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
