import type { SpanKind as ApiSpanKind, Attributes, Context } from '@opentelemetry/api';
import type { EnvOf, tracingEnv } from './config.ts';

/** W3C Trace Context, version 00 or a later one that begins alike; ids of zeros are invalid. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;
const TRACEPARENT_LENGTH = 55;
/** In the last digit of a traceparent: somebody keeps this trace. */
const SAMPLED = 1;

/** A trace context that may come from anybody; what is none is left out, as the standard says. */
export function traceparentOf(value: unknown): string | undefined {
  return typeof value === 'string' && TRACEPARENT.test(value)
    ? value.slice(0, TRACEPARENT_LENGTH)
    : undefined;
}

/** The same when its trace is kept, else `undefined`: then there is nothing to add to it. */
export function sampledTraceparentOf(value: unknown): string | undefined {
  const parent = traceparentOf(value);
  const flags = Number.parseInt(parent?.slice(-2) ?? '0', 16);
  return (flags & SAMPLED) === 0 ? undefined : parent;
}

/** A unit of work in a trace. */
export interface Span {
  /** W3C trace context of this span, for who goes on with the trace. */
  readonly traceparent: string;
  /** @param error why the work failed; left out: it did not. */
  end(attributes?: Attributes, error?: string): void;
}

interface SpanOptions {
  kind: 'server' | 'consumer';
  /** A valid W3C `traceparent` of who asked for the work; without one, a trace begins. */
  parent?: string | undefined;
  attributes?: Attributes;
  /** When it began, in ms since the epoch; left out: now. */
  startedAt?: number;
}

export interface Tracing {
  start(name: string, options: SpanOptions): Span;
  /** Sends what is left. Never throws: traces are no reason for a stop to fail. */
  stop(): Promise<void>;
}

/**
 * OpenTelemetry traces by OTLP over HTTP. Without an endpoint there are none: nothing is loaded, and callers have
 * nothing to call. The exporter reads the endpoint, and the standard's other `OTEL_EXPORTER_OTLP_*`, from the process's environment.
 *
 * @param service name of the service in the traces; `OTEL_SERVICE_NAME` wins.
 */
export async function createTracing(
  service: string,
  config: EnvOf<typeof tracingEnv>,
): Promise<Tracing | undefined> {
  if (!config.OTEL_EXPORTER_OTLP_ENDPOINT && !config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return undefined;
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': config.OTEL_SERVICE_NAME ?? service }),
    sampler: new sdk.ParentBasedSampler({
      root: new sdk.TraceIdRatioBasedSampler(config.OTEL_TRACES_SAMPLER_ARG),
    }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  const tracer = provider.getTracer('weir');
  const kinds: Record<SpanOptions['kind'], ApiSpanKind> = {
    server: api.SpanKind.SERVER,
    consumer: api.SpanKind.CONSUMER,
  };

  function contextOf(parent: string | undefined): Context {
    const [, traceId = '', spanId = '', flags = ''] = parent?.split('-') ?? [];
    if (!traceId) return api.ROOT_CONTEXT;
    const traceFlags = Number.parseInt(flags, 16);
    return api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
  }

  return {
    start(name, { kind, parent, attributes = {}, startedAt }) {
      const span = tracer.startSpan(
        name,
        { kind: kinds[kind], attributes, ...(startedAt === undefined ? {} : { startTime: startedAt }) },
        contextOf(parent),
      );
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        end(more = {}, error) {
          span.setAttributes(more);
          if (error !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: error });
          span.end();
        },
      };
    },
    stop: () => provider.shutdown().catch(() => undefined),
  };
}
