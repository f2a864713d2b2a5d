import { createServer } from 'node:http';
import { close, listen } from '../shared/server.ts';

/** A span as OTLP has it in JSON. */
interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  status: { code?: number; message?: string };
  attributes: { key: string; value: Record<string, unknown> }[];
}

/** What takes the traces of a service, as a collector of OpenTelemetry does. */
export interface OtlpCollector {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string;
  readonly spans: readonly OtlpSpan[];
  /** `service.name` of each export. */
  readonly services: readonly string[];
  stop(): Promise<void>;
}

/** Starts a collector that takes OTLP over HTTP as JSON. */
export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: OtlpSpan[] = [];
  const services: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
        const name = resource.attributes.find(({ key }: { key: string }) => key === 'service.name');
        services.push(name.value.stringValue);
        for (const scope of scopeSpans) spans.push(...scope.spans);
      }
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  const port = await listen(server, 0, '127.0.0.1');
  return { endpoint: `http://127.0.0.1:${port}`, spans, services, stop: () => close(server) };
}
