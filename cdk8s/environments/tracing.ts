import { z } from 'zod';

/** A Service of the cluster, as any pod may call it. */
const SERVICE = /^[a-z0-9-]+\.([a-z0-9-]+)\.svc(\.cluster\.local)?$/;

/** Where a collector in the cluster listens; undefined for one outside of it. */
export function collectorInCluster(endpoint: string): { namespace: string; port: number } | undefined {
  const { protocol, hostname, port } = new URL(endpoint);
  const [, namespace] = SERVICE.exec(hostname) ?? [];
  if (namespace === undefined) return undefined;
  return { namespace, port: Number(port || (protocol === 'https:' ? 443 : 80)) };
}

/** OpenTelemetry traces of producer and consumer, in pods; a function has X-Ray's. */
export const tracing = z.strictObject({
  /** The collector, which takes OTLP over HTTP. Its Service's port is that of its pods, for the network policy. */
  endpoint: z
    .url({ protocol: /^https?$/ })
    .refine(
      (url) => collectorInCluster(url) !== undefined || /^https:\/\/[^/:]+(\/|$)/.test(url),
      'expected http://<service>.<namespace>.svc:4318, or outside of the cluster https:// on port 443: the network policies let nothing else out',
    )
    .refine((url) => !url.includes('@'), 'nothing secret stands in git'),
  /** Share of the traces that begin here which are kept, 0 to 1. */
  ratio: z.number().min(0).max(1),
});

/** What producer and consumer are told. */
export function tracingVariables(settings: z.output<typeof tracing> | undefined): Record<string, string> {
  if (settings === undefined) return {};
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: settings.endpoint,
    OTEL_TRACES_SAMPLER_ARG: String(settings.ratio),
  };
}
