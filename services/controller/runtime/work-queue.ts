import type { Clock } from '../../shared/clock.ts';
import type { RuntimeMetrics } from './metrics.ts';
import { QueueLimiter, type QueueLimits } from './queue-limiter.ts';

export interface WorkQueueOptions {
  /** Value of the `name` label. */
  name: string;
  clock: Clock;
  metrics: RuntimeMetrics;
  limits?: Partial<QueueLimits>;
}

/**
 * A de-duplicating queue of keys, after client-go's workqueue: a key is waited for once however often it was added, is
 * never worked on by two at the same time, and comes again if it was added while it was worked on.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #limiter: QueueLimiter;
  readonly #labels: { name: string };
  /** Waiting keys, oldest first, with the time they were added. A Map keeps that order and takes out in O(1). */
  readonly #waiting = new Map<string, number>();
  readonly #processing = new Map<string, number>();
  /** Added again while processing. */
  readonly #again = new Set<string>();
  /** Keys for later with the time they are due; the earliest wish counts. */
  readonly #delayed = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #alarm: { at: number; cancel: AbortController } | undefined;
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#labels = { name: options.name };
    this.#limiter = new QueueLimiter(options.clock, options.limits);
    options.metrics.beforeScrape.push(() => this.#collect());
  }

  /** Keys that wait to be taken. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Ms that the oldest key under work has been worked on; 0 when there is none. */
  get longestRunningMs(): number {
    const now = this.#options.clock.monotonic();
    return Math.max(0, ...[...this.#processing.values()].map((since) => now - since));
  }

  /** Since when, in monotonic ms, the key that waits longest could have been taken; `undefined` when none could. */
  get dueSince(): number | undefined {
    const [added = Number.POSITIVE_INFINITY] = this.#waiting.values();
    const due = Math.min(added, ...this.#delayed.values());
    return due <= this.#options.clock.monotonic() ? due : undefined;
  }

  /** Adds a key at once. Without effect once the queue is closed. */
  add(key: string): void {
    if (this.#closed) return;
    this.#delayed.delete(key);
    if (this.#waiting.has(key) || this.#again.has(key)) return;
    this.#options.metrics.queueAdds.inc(this.#labels);
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#push(key);
  }

  /** Adds a key in `ms`, unless it is due earlier anyway. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (!(ms > 0)) {
      this.add(key);
      return;
    }
    const due = this.#options.clock.monotonic() + ms;
    const known = this.#delayed.get(key);
    if (known !== undefined && known <= due) return;
    this.#delayed.set(key, due);
    if (this.#alarm === undefined || due < this.#alarm.at) this.#setAlarm(due);
  }

  /** Adds a key that failed: after its own exponential backoff, the queue's overall rate, and what the server asked for. */
  addRateLimited(key: string, atLeastMs = 0): void {
    if (this.#closed) return;
    this.#options.metrics.queueRetries.inc(this.#labels);
    this.addAfter(key, Math.max(atLeastMs, this.#limiter.delay(key)));
  }

  /** Ends a key's backoff: it succeeded, or is gone. */
  forget(key: string): void {
    this.#limiter.forget(key);
  }

  /** Takes a wish for later back: the object is gone. */
  cancel(key: string): void {
    this.#delayed.delete(key);
  }

  /** The next key, as soon as there is one; undefined once the queue is closed. Call `done` with it afterwards. */
  async take(): Promise<string | undefined> {
    for (const key of this.#waiting.keys()) return this.#hand(key);
    if (this.#closed) return undefined;
    return await new Promise((resolve) => this.#takers.push(resolve));
  }

  /** A key that was taken is worked off, well or not. */
  done(key: string): void {
    const since = this.#processing.get(key);
    if (since === undefined) return;
    this.#processing.delete(key);
    this.#options.metrics.queueWorkSeconds.observe(
      this.#labels,
      (this.#options.clock.monotonic() - since) / 1_000,
    );
    if (this.#again.delete(key) && !this.#closed) this.#push(key);
    if (this.#processing.size === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** Takes nothing in any more, drops what waits (the next leader lists anew), and settles when what is under work is done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    this.#delayed.clear();
    this.#again.clear();
    this.#options.metrics.queueDepth.set(this.#labels, 0);
    this.#alarm?.cancel.abort();
    for (const taker of this.#takers.splice(0)) taker(undefined);
    if (this.#processing.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #collect(): void {
    const { metrics, clock } = this.#options;
    const now = clock.monotonic();
    let unfinished = 0;
    for (const since of this.#processing.values()) unfinished += now - since;
    metrics.queueUnfinishedSeconds.set(this.#labels, unfinished / 1_000);
    metrics.queueLongestRunningSeconds.set(this.#labels, this.longestRunningMs / 1_000);
    metrics.queueDepth.set(this.#labels, this.#waiting.size);
  }

  #push(key: string): void {
    this.#waiting.set(key, this.#options.clock.monotonic());
    const taker = this.#takers.shift();
    if (taker) taker(this.#hand(key));
  }

  #hand(key: string): string {
    const now = this.#options.clock.monotonic();
    const { queueSeconds } = this.#options.metrics;
    queueSeconds.observe(this.#labels, (now - (this.#waiting.get(key) ?? now)) / 1_000);
    this.#waiting.delete(key);
    this.#processing.set(key, now);
    return key;
  }

  /** One timer for all delayed keys; it rings when the first is due. */
  #setAlarm(at: number): void {
    this.#alarm?.cancel.abort();
    const cancel = new AbortController();
    this.#alarm = { at, cancel };
    void this.#options.clock.sleep(at - this.#options.clock.monotonic(), cancel.signal).then(() => {
      if (cancel.signal.aborted) return;
      this.#alarm = undefined;
      const now = this.#options.clock.monotonic();
      for (const [key, due] of [...this.#delayed]) if (due <= now) this.add(key);
      if (this.#delayed.size > 0) this.#setAlarm(Math.min(...this.#delayed.values()));
    });
  }
}
