import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';

/** A check's answer: `ok` decides 200 or 503, the rest is shown to whoever asks. */
interface HealthReport {
  ok: boolean;
  [detail: string]: unknown;
}

/** Time for a whole request, header included. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How often that time is looked at; Node's default is 30 s, which would make it 40 s. */
const CONNECTIONS_CHECK_MS = 1_000;

export interface AdminOptions {
  registry: Registry;
  /** Is the process making progress? A no restarts the pod. */
  live: () => HealthReport;
  /** May traffic or work come here? A no takes the pod out of its service. */
  ready: () => HealthReport;
  /** What a POST to a path starts; each answers whether it does. They take no input: anybody in the cluster can ask. */
  actions?: Readonly<Record<string, () => boolean>>;
}

/**
 * The admin server: `/metrics` for Prometheus, `/livez` and `/readyz` for the kubelet, and what a
 * service lets others start. Plain `node:http`, on a
 * port of its own, so that neither a flood of events nor an ingress rule reaches it.
 */
export function createAdminServer(options: AdminOptions): Server {
  const server = createServer({ connectionsCheckingInterval: CONNECTIONS_CHECK_MS }, (request, response) => {
    const path = request.url?.split('?', 1)[0];
    const action = options.actions?.[path ?? ''];
    if (action) {
      request.resume();
      if (request.method !== 'POST') response.writeHead(405, { allow: 'POST' }).end();
      else response.writeHead(action() ? 202 : 503).end();
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else if (path === '/metrics') {
      options.registry.metrics().then(
        (body) => response.writeHead(200, { 'content-type': options.registry.contentType }).end(body),
        () => response.writeHead(500).end(),
      );
    } else if (path === '/livez' || path === '/healthz') report(options.live());
    else if (path === '/readyz') report(options.ready());
    else response.writeHead(404).end();

    function report(health: HealthReport): void {
      response
        .writeHead(health.ok ? 200 : 503, { 'content-type': 'application/json' })
        .end(`${JSON.stringify(health)}\n`);
    }
  });
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  return server;
}
