import type { Clock } from '../shared/clock.ts';
import { errorCode } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';

const PROBE_INTERVAL_MS = 1_000;

type SinkState = 'up' | 'throttled' | 'down' | 'unknown';

/** What is told of the batcher. */
export interface Buffered {
  bufferedRecords: number;
  bufferedBytes: number;
  oldestAgeMs: number;
  throttledShards: number;
  sinkDown: boolean;
}

/** What `/ready` and `/readyz` tell. */
export interface ReadinessReport {
  ok: boolean;
  status: 'ready' | 'starting' | 'draining';
  /** Why it isn't ready yet: code of the stream's last answer. */
  reason?: string | undefined;
  /** How the last calls to Kinesis went. */
  sink: SinkState;
  buffered_records: number;
  buffered_bytes: number;
  /** How long the event that waits longest has waited for a call. */
  oldest_waiting_ms: number;
  [detail: string]: unknown;
}

/**
 * May traffic come here? Not before the stream has answered once, and not after the first signal to stop.
 * In between it does not flip, also when Kinesis throttles or fails: every pod sees the same stream, so taking
 * pods out would only replace our 503 with the ingress's, which tells a client nothing.
 */
export class Readiness {
  readonly #buffer: Buffered;
  readonly #draining = new AbortController();
  #answered = false;
  #reason: string | undefined;

  constructor(buffer: Buffered) {
    this.#buffer = buffer;
  }

  get draining(): boolean {
    return this.#draining.signal.aborted;
  }

  /** Asks until the stream answers or the process stops. */
  async probe(check: () => Promise<void>, clock: Clock, log: Logger): Promise<void> {
    while (!this.#answered && !this.draining) {
      try {
        await check();
        this.#answered = true;
      } catch (error) {
        const reason = errorCode(error);
        if (reason !== this.#reason) log.warn({ err: error }, 'the stream does not answer yet; asking again');
        this.#reason = reason;
        await clock.sleep(PROBE_INTERVAL_MS, this.#draining.signal);
      }
    }
  }

  /** The process is stopping. */
  drain(): void {
    this.#draining.abort();
  }

  report(): ReadinessReport {
    const status = this.draining ? 'draining' : this.#answered ? 'ready' : 'starting';
    return {
      ok: status === 'ready',
      status,
      ...(status === 'starting' ? { reason: this.#reason } : {}),
      sink: this.#sink(),
      buffered_records: this.#buffer.bufferedRecords,
      buffered_bytes: this.#buffer.bufferedBytes,
      oldest_waiting_ms: Math.round(this.#buffer.oldestAgeMs),
    };
  }

  #sink(): SinkState {
    if (this.#buffer.sinkDown) return 'down';
    if (this.#buffer.throttledShards > 0) return 'throttled';
    return this.#answered ? 'up' : 'unknown';
  }
}
