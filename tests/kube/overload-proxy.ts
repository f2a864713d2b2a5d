import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { close, listen } from '../../services/shared/server.ts';
import type { Cluster } from './cluster.ts';

/** One call that found no room: when it came, in monotonic ms. */
interface Refusal {
  at: number;
  method: string;
  path: string;
}

/** A proxy before the real API server that has no room for a while, and says so as its priority and fairness does. */
export interface OverloadProxy {
  readonly url: string;
  readonly refused: Refusal[];
  /** Set: calls for which it is true are answered with 429, to come again in so many seconds. */
  full: ((path: string) => boolean) | undefined;
  stop(): Promise<void>;
}

/** @param retryAfterSeconds what it asks for. */
export async function startOverloadProxy(
  cluster: Cluster,
  retryAfterSeconds: number,
): Promise<OverloadProxy> {
  const target = new URL(cluster.url);
  const agent = new Agent({ keepAlive: true, ca: cluster.ca });
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    if (!proxy.full?.(path)) return pass(request, response);
    proxy.refused.push({ at: performance.now(), method: request.method ?? '', path });
    request.resume();
    // As staging/src/k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go answers.
    response.writeHead(429, { 'content-type': 'text/plain', 'retry-after': String(retryAfterSeconds) });
    response.end('Too many requests, please try again later.');
  });

  function pass(request: IncomingMessage, response: ServerResponse): void {
    const { method, url, headers } = request;
    const options = { agent, method, path: url, host: target.hostname, port: target.port, headers };
    const outgoing = httpsRequest(options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    // A watch that its client ends.
    response.on('close', () => outgoing.destroy());
    request.pipe(outgoing);
  }

  const port = await listen(server, 0, '127.0.0.1');
  const proxy: OverloadProxy = {
    url: `http://127.0.0.1:${port}`,
    refused: [],
    full: undefined,
    async stop() {
      server.closeAllConnections();
      agent.destroy();
      await close(server);
    },
  };
  return proxy;
}
