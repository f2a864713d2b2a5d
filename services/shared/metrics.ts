import { collectDefaultMetrics, Registry } from 'prom-client';

/**
 * A registry for one process. Each component declares its metrics in its own `metrics.ts` on the registry it
 * is given; nothing uses prom-client's global one, so that tests can build a service twice.
 */
export function createRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  return registry;
}

/** CPU, memory, event-loop and GC metrics of the process; called by `main.ts` only. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
}

/** Seconds, from 1 ms to 5 min: fits a request, an end-to-end latency and a backlog alike. */
export const LATENCY_BUCKETS_SECONDS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5,
  10, 15, 30, 60, 120, 300,
];
