import { setTimeout as sleep } from 'node:timers/promises';
import { bucketsOf, maxOf, parseMetrics, quantileOf, sumOf } from '../../services/shared/prometheus.ts';
import { type LocalStack, newRunName } from '../stack.ts';
import type { DemoEvent } from './dataset.ts';
import type { ProgressState, ProgressView } from './progress.ts';
import { type Receipt, replay } from './replay.ts';
import type { DemoResult } from './summary.ts';
import { scan, verify } from './verify.ts';

const METRICS_INTERVAL_MS = 400;
/** Without any progress for this long, what is missing counts as lost. */
const STALL_MS = 30_000;

export interface RunOptions {
  threshold: number;
  rate: number | undefined;
  progress: ProgressView;
  signal: AbortSignal;
}

interface ConsumerCounts {
  stored: number;
  deadLetters: number;
  lagMs: number;
  p50: number | undefined;
  p99: number | undefined;
}

/**
 * Replays the events, waits until the consumer has dealt with all of them, and checks the table.
 *
 * @returns undefined when `signal` aborted it.
 */
export async function run(
  stack: LocalStack,
  events: readonly DemoEvent[],
  { threshold, rate, progress, signal }: RunOptions,
): Promise<DemoResult | undefined> {
  const startedAt = performance.now();
  const state: ProgressState = {
    sent: 0,
    stored: 0,
    deadLetters: 0,
    total: events.length,
    rate: 0,
    lagMs: 0,
  };
  const watching = new AbortController();
  const watch = watchConsumer(stack, watching.signal, (counts) => {
    Object.assign(state, { stored: counts.stored, deadLetters: counts.deadLetters, lagMs: counts.lagMs });
    state.rate = state.stored / ((performance.now() - startedAt) / 1000);
    progress.update(state);
  });
  let receipts: Receipt[];
  try {
    receipts = await replay(events, {
      producerUrl: stack.producerUrl,
      run: newRunName(),
      rate,
      onSent: () => {
        state.sent++;
      },
      signal,
    });
    if (!signal.aborted) await settled(state, signal);
  } finally {
    watching.abort();
    await watch;
    progress.stop();
  }
  if (signal.aborted) return undefined;
  const seconds = (performance.now() - startedAt) / 1000;
  const [counts, items, dead] = await Promise.all([
    readConsumer(stack),
    scan(stack.dynamodb, stack.resources.recordsTable),
    scan(stack.dynamodb, stack.resources.deadLetterTable),
  ]);
  const verdict = verify({ events, receipts, items, deadLetters: dead.length, threshold });
  return {
    events: events.length,
    sent: receipts.length,
    scored: counts.stored,
    deadLetters: dead.length,
    threshold,
    seconds,
    eventsPerSecond: events.length / seconds,
    endToEndMs: { p50: toMs(counts.p50), p99: toMs(counts.p99) },
    ...verdict,
  };
}

/** Waits until all that was sent is stored or dead, or until nothing moves any more. */
async function settled(state: ProgressState, signal: AbortSignal): Promise<void> {
  let seen = -1;
  let movedAt = performance.now();
  while (state.stored + state.deadLetters < state.sent && !signal.aborted) {
    const done = state.stored + state.deadLetters;
    if (done !== seen) movedAt = performance.now();
    seen = done;
    if (performance.now() - movedAt > STALL_MS) return;
    await sleep(50);
  }
}

async function watchConsumer(
  stack: LocalStack,
  signal: AbortSignal,
  onCounts: (counts: ConsumerCounts) => void,
): Promise<void> {
  while (!signal.aborted) {
    // A consumer that is gone is seen by the stack; until then old figures are better than none.
    await readConsumer(stack).then(onCounts, () => {});
    await sleep(METRICS_INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
  await readConsumer(stack).then(onCounts, () => {});
}

async function readConsumer(stack: LocalStack): Promise<ConsumerCounts> {
  const response = await fetch(`${stack.consumerAdminUrl}/metrics`, { signal: AbortSignal.timeout(5_000) });
  const samples = parseMetrics(await response.text());
  const endToEnd = bucketsOf(samples, 'weir_consumer_end_to_end_seconds');
  const records = (outcome: string) => sumOf(samples, 'weir_consumer_records_total', { outcome });
  return {
    stored: records('stored'),
    deadLetters: records('dead_letter'),
    lagMs: maxOf(samples, 'weir_consumer_millis_behind_latest'),
    p50: quantileOf(endToEnd, 0.5),
    p99: quantileOf(endToEnd, 0.99),
  };
}

function toMs(seconds: number | undefined): number | null {
  return seconds === undefined ? null : seconds * 1000;
}
