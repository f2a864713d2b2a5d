import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { LATENCY_BUCKETS_SECONDS } from '../shared/metrics.ts';

export type ProducerMetrics = ReturnType<typeof createProducerMetrics>;

/** What became of a request to store an event: `stored`, or the code of the problem it was answered with. */
const OUTCOMES = [
  'stored',
  'body-invalid',
  'body-too-large',
  'media-type-unsupported',
  'event-invalid',
  'idempotency-key-invalid',
  'throttled',
  'sink-unavailable',
  'buffer-full',
  'draining',
  'internal',
] as const;
const FAILURES = ['throttled', 'unavailable', 'rejected'] as const;

/** All metrics of the producer. Labels are bounded: our own codes only. */
export function createProducerMetrics(registry: Registry) {
  const registers = [registry];
  const metrics = {
    events: new Counter({
      name: 'weir_producer_events_total',
      help: 'Events posted, by outcome: stored, or the code of the problem that was answered.',
      labelNames: ['outcome'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'weir_producer_request_seconds',
      help: 'From the last byte of a request to its answer.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    bufferSeconds: new Histogram({
      name: 'weir_producer_buffer_seconds',
      help: 'Time from the acceptance of an event to the PutRecords call that carries it.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    putSeconds: new Histogram({
      name: 'weir_producer_put_seconds',
      help: 'Duration of one PutRecords call.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    callRecords: new Histogram({
      name: 'weir_producer_call_records',
      help: 'Records in a PutRecords call.',
      buckets: [1, 2, 5, 10, 25, 50, 100, 200, 300, 400, 500],
      registers,
    }),
    recordFailures: new Counter({
      name: 'weir_producer_record_failures_total',
      help: 'Records that an attempt did not store, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    callErrors: new Counter({
      name: 'weir_producer_call_errors_total',
      help: 'PutRecords calls that failed as a whole, by reason.',
      labelNames: ['reason'],
      registers,
    }),
  };
  for (const outcome of OUTCOMES) metrics.events.inc({ outcome }, 0);
  for (const reason of FAILURES) {
    metrics.recordFailures.inc({ reason }, 0);
    metrics.callErrors.inc({ reason }, 0);
  }
  return metrics;
}

/** Gauges that are read when Prometheus asks, at no cost in between. */
export function observeBatcher(
  registry: Registry,
  batcher: { bufferedRecords: number; bufferedBytes: number; inFlightCalls: number },
): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge(
    'weir_producer_buffered_records',
    'Events accepted and not yet answered.',
    () => batcher.bufferedRecords,
  );
  gauge('weir_producer_buffered_bytes', 'Their bytes.', () => batcher.bufferedBytes);
  gauge('weir_producer_in_flight_calls', 'PutRecords calls under way.', () => batcher.inFlightCalls);
}
