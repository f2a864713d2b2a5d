import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { DynamoDBJson } from '../shared/dynamodb-json.ts';
import { createRegistry } from '../shared/metrics.ts';
import { Progress } from '../shared/progress.ts';
import { VirtualClock } from '../testkit/kinesis-double/virtual-clock.ts';
import { createConsumerMetrics } from './metrics.ts';
import { AdaptiveLimit } from './sinks/adaptive-limit.ts';
import { BatchWriter } from './sinks/batch-writer.ts';
import type { SourceState } from './state/source-state.ts';
import { StateStore } from './state/state-store.ts';

/** As `LIVENESS_TIMEOUT_MS` is by default. */
const LIVENESS_MS = 60_000;
const log = pino({ level: 'silent' });
const { signal } = new AbortController();

const failure = (name: string) => Object.assign(new Error(name), { name });

/** A worker's loops on a clock that moves on as soon as all that could be done is done. */
function loops() {
  const clock = new VirtualClock();
  const progress = new Progress(clock);
  const stalled = new Set<string>();
  const deps = {
    limit: new AdaptiveLimit(16, clock),
    clock,
    random: () => 0.5,
    log,
    metrics: createConsumerMetrics(createRegistry('test')),
  };
  /** @returns the loops that ever counted as stuck in that time. */
  const pass = async (ms: number, stepMs: number) => {
    for (const end = clock.monotonic() + ms; clock.monotonic() < end; clock.advance(stepMs)) {
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
      for (const loop of Object.keys(progress.stalled(LIVENESS_MS))) stalled.add(loop);
    }
    return [...stalled];
  };
  /** Runs a loop whose calls are all made by `work`. @returns whether it is done. */
  const run = (loop: string, work: (tick: () => void) => Promise<unknown>) => {
    const running = { done: false };
    void work(() => progress.tick(loop)).then(() => {
      progress.forget(loop);
      running.done = true;
    });
    return running;
  };
  return { clock, deps, pass, run };
}

describe('a loop that waits for a table is not stuck', () => {
  it('while that table accepts calls and never answers, whatever the other shards have in its queue', async () => {
    const { clock, deps, pass, run } = loops();
    const call = async () => {
      await clock.sleep(10_000);
      throw failure('TimeoutError');
    };
    const writer = new BatchWriter({
      ...deps,
      dynamodb: { call } as unknown as DynamoDBJson,
      table: 'records',
      keyOf: ({ id }) => id?.S ?? '',
      keyWith: (value) => `{"id":{"S":"${value}"}}`,
      retryMs: 30_000,
    });
    for (let shard = 0; shard < 8; shard++) {
      const items = Array.from({ length: 500 }, (_, n) => ({ key: `${shard}-${n}`, json: '{}' }));
      run(`shard ${shard}`, (tick) => writer.write(items, signal, tick));
    }
    expect(await pass(15 * 60_000, 500)).toEqual([]);
  });

  it('while that table is busy with the states of another shard', async () => {
    const { clock, deps, pass, run } = loops();
    let room = 0;
    const call = async (operation: string) => {
      await clock.sleep(200);
      if (operation === 'BatchGetItem') return '{"Responses":{"states":[]},"UnprocessedKeys":{}}';
      if (room-- > 0) return '{}';
      throw failure('ProvisionedThroughputExceededException');
    };
    const refill = async () => {
      for (;;) {
        room = 5;
        await clock.sleep(1_000);
      }
    };
    void refill();
    const store = new StateStore({
      ...deps,
      dynamodb: { call } as unknown as DynamoDBJson,
      table: 'states',
      ttlDays: 90,
    });
    const states = Array.from(
      { length: 1_000 },
      (_, n) => ({ series: `s${n}`, watermark: 'w', arrivedAt: 0, hasMinute: false }) as SourceState,
    );
    run('shard 0', (tick) => Promise.all(states.map((state) => store.save(state, new Map(), signal, tick))));
    const loading = run('shard 1', (tick) => store.load(['x'], signal, tick));
    expect(await pass(LIVENESS_MS, 200)).toEqual([]);
    expect(loading.done).toBe(false);
    expect(await pass(5 * LIVENESS_MS, 200)).toEqual([]);
    expect(loading.done).toBe(true);
  });
});

describe('a loop', () => {
  it('is stuck when a call of its own never ends, although those of others do', async () => {
    const { deps, pass, run } = loops();
    const { limit, clock } = deps;
    run('shard 0', (tick) => limit.run(() => new Promise(() => {}), tick));
    const slow = () => clock.sleep(1_000).then(() => ({ throttled: false }));
    run('shard 1', async (tick) => {
      for (;;) await Promise.all(Array.from({ length: 40 }, () => limit.run(slow, tick)));
    });
    expect(await pass(2 * LIVENESS_MS, 500)).toEqual(['shard 0']);
  });
});
