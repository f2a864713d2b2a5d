import type { Outcome, OutcomeOwner } from '../ingest/outcome.ts';
import type { ProducerMetrics } from '../metrics.ts';
import { HttpProblem, problemDetails } from './problems.ts';

/**
 * Gathers the outcomes of a batch, each as the JSON it will be answered with, so that what an event's answer needs is
 * all that is kept of it.
 */
export class BatchOutcomes implements OutcomeOwner {
  readonly #compact: boolean;
  readonly #metrics: ProducerMetrics;
  /** By index; holes are events that still wait, or in a compact answer those that were stored. */
  readonly #results: string[] = [];
  readonly #clientIds = new Map<number, string | number>();
  readonly #failures = new Map<HttpProblem['code'], number>();
  #total = 0;
  #settled = 0;
  #stored = 0;
  #retryAfterSeconds = 0;
  #ended = false;
  #done: (() => void) | undefined;
  /** The first error of our own, for the log. */
  internal: HttpProblem | undefined;

  /** @param compact keep the failures only. */
  constructor(compact: boolean, metrics: ProducerMetrics) {
    this.#compact = compact;
    this.#metrics = metrics;
  }

  get total(): number {
    return this.#total;
  }

  /** The next event of the batch. @returns its index. */
  expect(clientId: string | number | undefined): number {
    if (clientId !== undefined) this.#clientIds.set(this.#total, clientId);
    return this.#total++;
  }

  settled(index: number, outcome: Outcome): void {
    const id = this.#clientIds.size === 0 ? undefined : this.#clientIds.get(index);
    this.#settled++;
    if (outcome instanceof HttpProblem) this.#fail(index, id, outcome);
    else {
      this.#stored++;
      if (!this.#compact) this.#results[index] = storedResult(id, outcome);
    }
    if (this.#ended && this.#settled === this.#total) this.#done?.();
  }

  #fail(index: number, id: string | number | undefined, problem: HttpProblem): void {
    const { retryAfterSeconds = 0, code } = problem;
    if (code === 'internal') this.internal ??= problem;
    this.#retryAfterSeconds = Math.max(this.#retryAfterSeconds, retryAfterSeconds);
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
    this.#results[index] = JSON.stringify({
      ...(this.#compact ? { index } : {}),
      ...(id === undefined ? {} : { id }),
      ...problemDetails(problem),
      ...(retryAfterSeconds > 0 ? { retry_after_seconds: retryAfterSeconds } : {}),
    });
  }

  /** Waits for the outcomes of all events that are expected. */
  async all(): Promise<void> {
    this.#ended = true;
    if (this.#settled < this.#total) {
      await new Promise<void>((resolve) => {
        this.#done = resolve;
      });
    }
    this.#metrics.batchEvents.observe(this.#total);
    this.#metrics.events.inc({ outcome: 'stored' }, this.#stored);
    for (const [outcome, n] of this.#failures) this.#metrics.events.inc({ outcome }, n);
  }

  /** The answer, once all outcomes are there. */
  answer(): { status: 200 | 207; retryAfterSeconds: number; body: string } {
    const failed = this.#total - this.#stored;
    const counts = `"total":${this.#total},"stored":${this.#stored},"failed":${failed}`;
    const results = this.#compact ? this.#results.filter((result) => result !== undefined) : this.#results;
    const body = `{${counts},"${this.#compact ? 'failures' : 'results'}":[${results.join(',')}]}\n`;
    return { status: failed > 0 ? 207 : 200, retryAfterSeconds: this.#retryAfterSeconds, body };
  }
}

/** Written by hand: ids, shards and sequence numbers need no escapes, and there may be thousands. */
function storedResult(id: string | number | undefined, stored: Exclude<Outcome, HttpProblem>): string {
  const { shardId, sequenceNumber, subSequenceNumber } = stored.position;
  const head = id === undefined ? '' : `"id":${JSON.stringify(id)},`;
  const sub = subSequenceNumber === undefined ? '' : `,"sub_sequence_number":${subSequenceNumber}`;
  return `{"status":200,${head}"request_id":"${stored.requestId}","shard_id":"${shardId}","sequence_number":"${sequenceNumber}"${sub}}`;
}
