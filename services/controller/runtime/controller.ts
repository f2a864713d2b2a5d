import type { Clock } from '../../shared/clock.ts';
import { errorCode, WeirError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Progress } from '../../shared/progress.ts';
import { ApiError } from './api/errors.ts';
import type { RuntimeMetrics } from './metrics.ts';
import type { WorkQueue } from './work-queue.ts';

/** What is to happen after a reconcile that went well. */
interface ReconcileResult {
  /** Look again in this many ms; left out: at the next change. */
  requeueAfterMs?: number;
}

/**
 * Brings the world of one object to what the object says. Called for a key, not for a change: it looks at what is, and
 * may be called at any time, any number of times. Never at the same time for the same key.
 *
 * @param signal aborts when the reconcile takes too long or the controller stops: start nothing new then.
 * @throws anything: an error that is a `WeirError` and not retryable waits for the next change (or resync); every other is
 *   tried again with backoff.
 */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult>;

export interface ControllerOptions {
  name: string;
  queue: WorkQueue;
  reconcile: Reconcile;
  /** Reconciles at once, of different keys. */
  concurrency: number;
  /** Time after which a reconcile is told to end, in ms. */
  timeoutMs: number;
  progress: Progress;
  clock: Clock;
  log: Logger;
  metrics: RuntimeMetrics;
}

/** Workers that take keys from a queue and reconcile them. Whatever a reconcile throws ends that reconcile only. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #stop = new AbortController();
  #workers: Promise<void>[] = [];
  /** When a key was last taken, or the workers started: monotonic ms. */
  #tookAt = 0;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#workers.length > 0;
  }

  get name(): string {
    return this.#options.name;
  }

  /**
   * Ms by which a worker is overdue to take a key: keys are due, and none was taken for longer than a reconcile may run. A
   * queue that is long because each look takes its whole time, all dependencies being down, is not overdue.
   */
  get overdueMs(): number {
    const { queue, clock, timeoutMs } = this.#options;
    const dueSince = queue.dueSince;
    if (!this.running || dueSince === undefined) return 0;
    return Math.max(0, clock.monotonic() - Math.max(dueSince, this.#tookAt) - timeoutMs);
  }

  start(): void {
    if (this.running || this.#stop.signal.aborted) return;
    this.#tookAt = this.#options.clock.monotonic();
    this.#workers = Array.from({ length: this.#options.concurrency }, () => this.#work());
  }

  /**
   * Takes no key any more and lets the running reconciles finish.
   *
   * @param graceMs after this time they are told to end.
   */
  async stop(graceMs: number): Promise<void> {
    const { clock, queue } = this.#options;
    const drained = new AbortController();
    const drain = queue.close().then(() => drained.abort());
    await clock.sleep(graceMs, drained.signal);
    this.#stop.abort();
    await drain;
    await Promise.all(this.#workers);
  }

  /** Tells the running reconciles to end at once: the lease is lost, somebody else may act now. */
  abort(): void {
    this.#stop.abort();
  }

  async #work(): Promise<void> {
    const { queue } = this.#options;
    for (;;) {
      const key = await queue.take();
      if (key === undefined) return;
      this.#tookAt = this.#options.clock.monotonic();
      try {
        if (!this.#stop.signal.aborted) await this.#one(key);
      } finally {
        queue.done(key);
      }
    }
  }

  async #one(key: string): Promise<void> {
    const { name, queue, reconcile, progress, clock, metrics, log, timeoutMs } = this.#options;
    const label = { controller: name };
    const loop = `reconcile ${name} ${key}`;
    const startedAt = clock.monotonic();
    const limit = new AbortController();
    const finished = new AbortController();
    void clock.sleep(timeoutMs, finished.signal).then(() => {
      if (!finished.signal.aborted) limit.abort();
    });
    metrics.activeWorkers.inc(label);
    progress.tick(loop, timeoutMs);
    try {
      const { requeueAfterMs } = await reconcile(key, AbortSignal.any([limit.signal, this.#stop.signal]));
      queue.forget(key);
      if (requeueAfterMs !== undefined) queue.addAfter(key, requeueAfterMs);
      metrics.reconciles.inc({
        ...label,
        result: requeueAfterMs === undefined ? 'success' : 'requeue_after',
      });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      metrics.reconcileErrors.inc({ ...label, code: errorCode(error) });
      const terminal = error instanceof WeirError && !error.retryable;
      metrics.reconciles.inc({ ...label, result: terminal ? 'terminal' : 'error' });
      if (terminal) {
        queue.forget(key);
        log.error({ err: error, key }, 'reconcile failed for good, waits for a change');
      } else {
        // A conflict is somebody else's write in between: usual, and mended by the next look.
        const usual = error instanceof ApiError && error.kind === 'conflict';
        log[usual ? 'debug' : 'warn']({ err: error, key }, 'reconcile failed, will be tried again');
        queue.addRateLimited(key, error instanceof ApiError ? error.retryAfterMs : 0);
      }
    } finally {
      finished.abort();
      progress.forget(loop);
      metrics.activeWorkers.dec(label);
      metrics.reconcileSeconds.observe(label, (clock.monotonic() - startedAt) / 1_000);
    }
  }
}

/**
 * Ms until a key's next turn: each key has its own phase in the period, so that a thousand objects are spread over it
 * and stay so, whenever the process started. Never less than half a period away.
 *
 * @param now ms since the epoch.
 */
export function untilNextTurn(key: string, periodMs: number, now: number): number {
  let hash = 2_166_136_261;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 16_777_619);
  // FNV-1a's low bits alone say little of the last characters: fold the high ones in.
  const phase = ((hash ^ (hash >>> 15)) >>> 0) % periodMs;
  const wait = periodMs - ((now - phase) % periodMs);
  return wait < periodMs / 2 ? wait + periodMs : wait;
}
