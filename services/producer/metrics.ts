import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { LATENCY_BUCKETS_SECONDS } from '../shared/metrics.ts';
import { AUTH_FAILURES } from './auth/authenticator.ts';
import { PROBLEMS } from './http/problems.ts';

export type ProducerMetrics = ReturnType<typeof createProducerMetrics>;

/** Problems of a path or method: no event came with them. */
const NOT_OF_EVENTS: readonly string[] = ['not-found', 'method-not-allowed'];
/** What became of an event: `stored`, or the code of the problem it was answered with. */
const OUTCOMES = ['stored', ...Object.keys(PROBLEMS).filter((code) => !NOT_OF_EVENTS.includes(code))];
const CALL_FAILURES = ['throttled', 'unavailable', 'rejected'] as const;
/** `misrouted`: stored in an aggregate that a reshard sent to another shard than theirs. */
const RECORD_FAILURES = [...CALL_FAILURES, 'misrouted'] as const;

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
      help: 'From the last byte of a request to its answer, of requests whose events were taken.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    bufferSeconds: new Histogram({
      name: 'weir_producer_buffer_seconds',
      help: 'Time from the acceptance of an event to the PutRecords call that carries it; of the first event of each record.',
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
      help: 'Kinesis records in a PutRecords call, aggregates counted as one.',
      buckets: [1, 2, 5, 10, 25, 50, 100, 200, 300, 400, 500],
      registers,
    }),
    recordFailures: new Counter({
      name: 'weir_producer_record_failures_total',
      help: 'Events that an attempt did not store, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    callEvents: new Histogram({
      name: 'weir_producer_call_events',
      help: 'Events in a PutRecords call.',
      buckets: [1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000],
      registers,
    }),
    batchEvents: new Histogram({
      name: 'weir_producer_batch_events',
      help: 'Events in a POST /send/batch.',
      buckets: [1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000],
      registers,
    }),
    callErrors: new Counter({
      name: 'weir_producer_call_errors_total',
      help: 'PutRecords calls that failed as a whole, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    authFailures: new Counter({
      name: 'weir_producer_auth_failures_total',
      help: 'Requests refused because their credentials were missing, invalid or expired, or could not be checked.',
      labelNames: ['reason'],
      registers,
    }),
    keyFileReads: new Counter({
      name: 'weir_producer_key_file_reads_total',
      help: 'Readings of a new AUTH_KEYS_FILE, by outcome; after a failed one the keys before stay in force.',
      labelNames: ['outcome'],
      registers,
    }),
  };
  for (const reason of AUTH_FAILURES) metrics.authFailures.inc({ reason }, 0);
  for (const outcome of ['loaded', 'failed']) metrics.keyFileReads.inc({ outcome }, 0);
  for (const outcome of OUTCOMES) metrics.events.inc({ outcome }, 0);
  for (const reason of CALL_FAILURES) metrics.callErrors.inc({ reason }, 0);
  for (const reason of RECORD_FAILURES) metrics.recordFailures.inc({ reason }, 0);
  return metrics;
}

/** What the gauges read. */
export interface Gauged {
  bufferedRecords: number;
  bufferedBytes: number;
  oldestAgeMs: number;
  inFlightCalls: number;
  throttledShards: number;
}

/** Gauges that are read when Prometheus asks, at no cost in between. */
export function observeProducer(
  registry: Registry,
  batcher: Gauged,
  held: { bodyBytes: () => number; windowBytes: () => number },
): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `weir_producer_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge('buffered_records', 'Events accepted and not yet answered.', () => batcher.bufferedRecords);
  gauge('buffered_bytes', 'Their bytes.', () => batcher.bufferedBytes);
  gauge(
    'oldest_waiting_seconds',
    'How long the event that waits longest has waited for a call.',
    () => batcher.oldestAgeMs / 1_000,
  );
  gauge('in_flight_calls', 'PutRecords calls under way.', () => batcher.inFlightCalls);
  gauge(
    'throttled_shards',
    'Shards that throttle the events that wait for them.',
    () => batcher.throttledShards,
  );
  gauge(
    'request_body_bytes',
    'Bytes that requests in hand hold: bodies, what waits for an answer, answers of batches.',
    held.bodyBytes,
  );
  gauge('idempotency_window_bytes', 'Bytes of remembered answers.', held.windowBytes);
}
