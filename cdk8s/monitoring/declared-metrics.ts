import { type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client';
import { createConsoleMetrics } from '../../services/console/metrics.ts';
import { createConsumerMetrics } from '../../services/consumer/metrics.ts';
import { createRuntimeMetrics } from '../../services/controller/runtime/metrics.ts';
import { createScalerMetrics } from '../../services/controller/streamscaler/metrics.ts';
import { createProducerMetrics, observeProducer } from '../../services/producer/metrics.ts';

export interface DeclaredMetric {
  name: string;
  type: string;
  help: string;
  labels: readonly string[];
}

const REGISTER: Readonly<Record<string, (registry: Registry) => void>> = {
  Producer: (registry) => {
    createProducerMetrics(registry);
    observeProducer(
      registry,
      { bufferedRecords: 0, bufferedBytes: 0, oldestAgeMs: 0, inFlightCalls: 0, throttledShards: 0 },
      { bodyBytes: () => 0, windowBytes: () => 0 },
    );
  },
  Consumer: createConsumerMetrics,
  Controller: (registry) => {
    createScalerMetrics(registry);
    createRuntimeMetrics(registry);
  },
  Console: createConsoleMetrics,
};

/** Every metric that the services declare, by service: what documents, dashboards and rules may name. */
export async function declaredMetrics(): Promise<Map<string, DeclaredMetric[]>> {
  const services = new Map<string, DeclaredMetric[]>();
  for (const [service, register] of Object.entries(REGISTER)) {
    const registry = new Registry();
    register(registry);
    const found: MetricObjectWithValues<MetricValue<string>>[] = await registry.getMetricsAsJSON();
    services.set(
      service,
      found.map(({ name, type, help }) => ({
        name,
        type: String(type),
        help,
        // prom-client tells them of the metric itself only, and without a type.
        labels: (registry.getSingleMetric(name) as unknown as { labelNames: string[] }).labelNames,
      })),
    );
  }
  return services;
}
