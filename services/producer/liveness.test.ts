import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../shared/clock.ts';
import { createRegistry } from '../shared/metrics.ts';
import { LIVENESS_MS } from '../shared/progress.ts';
import { VirtualClock } from '../testkit/kinesis-double/virtual-clock.ts';
import { Batcher } from './batching/batcher.ts';
import { liveness } from './liveness.ts';
import { createProducerMetrics } from './metrics.ts';
import { type PutOutcome, SinkError, type SinkFailure, type SinkRecord } from './sink/sink.ts';

/** The longest that may be configured: a step of a minute is none that is stuck. */
const LIMITS = { EVENT_DEADLINE_MS: 60_000, PUT_TIMEOUT_MS: 30_000 };
const LONGEST_MS = LIMITS.EVENT_DEADLINE_MS + 2 * LIMITS.PUT_TIMEOUT_MS;

type Put = (records: readonly SinkRecord[], call: number, clock: Clock) => Promise<PutOutcome[]>;

const all = (records: readonly SinkRecord[], outcome: PutOutcome) => records.map(() => outcome);
const stored: Put = async (records) => all(records, { shardId: 'shardId-000000000000', sequenceNumber: '1' });
/** Fails after `ms`. */
const failing =
  (failure: SinkFailure, ms: number): Put =>
  async (_records, _call, clock) => {
    await clock.sleep(ms);
    throw new SinkError(failure, 'down');
  };

/** @param lost the sleeps whose timer the process has lost. */
function producer(put: Put, lost: () => boolean = () => false) {
  const clock = new VirtualClock();
  const losing: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => (lost() ? new Promise(() => {}) : clock.sleep(ms, signal)),
  };
  let calls = 0;
  const batcher = new Batcher({
    sink: { put: (records) => put(records, calls++, clock) },
    router: { map: undefined, mispredicted() {}, refresh: async () => {} },
    limits: {
      sourceOrder: 'relaxed',
      aggregation: 'off',
      lingerMs: 5,
      maxInFlightCalls: 4,
      eventDeadlineMs: LIMITS.EVENT_DEADLINE_MS,
      bufferMaxBytes: 1_000_000,
      bufferMaxRecords: 1_000,
      bufferMaxAgeMs: LIMITS.EVENT_DEADLINE_MS,
    },
    clock: losing,
    random: () => 0.5,
    log: pino({ level: 'silent' }),
    metrics: createProducerMetrics(createRegistry('test')),
  });
  const answers = { stored: 0, not: 0 };
  let events = 0;
  /** Clients send two events a second. @returns what ever counted as stuck. */
  const pass = async (ms: number): Promise<string[]> => {
    const stuck = new Set<string>();
    for (const end = clock.monotonic() + ms; clock.monotonic() < end; clock.advance(500)) {
      batcher.submit(`source-${events++ % 20}`, Buffer.from('{}')).then(
        () => answers.stored++,
        () => answers.not++,
      );
      for (let i = 0; i < 3; i++) await turn();
      const { ok, stalled } = liveness(batcher, LIMITS);
      expect(ok).toBe(Object.keys(stalled).length === 0);
      for (const part of Object.keys(stalled)) stuck.add(part);
    }
    return [...stuck];
  };
  return { pass, answers, batcher };
}

describe('liveness of the producer', () => {
  it('is there while events come and while none do', async () => {
    const { pass, answers, batcher } = producer(stored);
    expect(liveness(batcher, LIMITS)).toEqual({ ok: true, stalled: {} });
    expect(await pass(5 * 60_000)).toEqual([]);
    expect(answers.not).toBe(0);
  });

  it.each<[string, Put]>([
    ['is down', failing('unavailable', 0)],
    ['takes calls and never answers', failing('unavailable', 2 * LIMITS.PUT_TIMEOUT_MS)],
    ['refuses all', failing('rejected', 10)],
    ['throttles all', async (records) => all(records, { failure: 'throttled' })],
    ['fails inside', async (records) => all(records, { failure: 'unavailable' })],
  ])('does not end for a Kinesis that %s', async (_, put) => {
    const { pass, answers } = producer(put);
    expect(await pass(20 * 60_000)).toEqual([]);
    expect(answers.stored).toBe(0);
  });

  it('ends for a call that never returns, although the others do', async () => {
    const { pass, answers } = producer((records, call, clock) =>
      call === 3 ? new Promise(() => {}) : stored(records, call, clock),
    );
    expect(await pass(LONGEST_MS + LIVENESS_MS)).toEqual([]);
    expect(await pass(5_000)).toEqual(['PutRecords']);
    expect(answers.stored).toBeGreaterThan(100);
  });

  it('ends for events that no call takes', async () => {
    let stuck = false;
    const throttled: Put = async (records) => all(records, { failure: 'throttled' });
    // The end of a shard's backoff never comes.
    const { pass } = producer(throttled, () => stuck);
    await pass(10_000);
    stuck = true;
    expect(await pass(LONGEST_MS + 2 * LIVENESS_MS)).toEqual(['buffer']);
  });
});
