import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { WeirError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { Progress } from '../../shared/progress.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { ApiError } from './api/errors.ts';
import { Controller, type Reconcile, untilNextTurn } from './controller.ts';
import { createRuntimeMetrics } from './metrics.ts';
import { WorkQueue } from './work-queue.ts';

function setup(reconcile: Reconcile, options: { concurrency?: number } = {}) {
  const clock = new VirtualClock();
  const metrics = createRuntimeMetrics(createRegistry('test'));
  const queue = new WorkQueue({ name: 'test', clock, metrics });
  const controller = new Controller({
    name: 'test',
    queue,
    reconcile,
    concurrency: 2,
    timeoutMs: 30_000,
    progress: new Progress(clock),
    clock,
    log: createLogger('test', 'silent'),
    metrics,
    ...options,
  });
  controller.start();
  /** Lets time pass in small steps. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 5) {
      await turn();
      clock.advance(Math.min(5, left));
    }
    await turn();
  };
  const results = async () =>
    Object.fromEntries((await metrics.reconciles.get()).values.map((v) => [v.labels.result, v.value]));
  return { clock, queue, controller, pass, results };
}

describe('the controller', () => {
  it('reconciles a key at once and again when it asked for it', async () => {
    const seen: string[] = [];
    const { queue, pass, controller, results } = setup(async (key) => {
      seen.push(key);
      return { requeueAfterMs: 100 };
    });
    queue.add('a');
    await pass(250);
    expect(seen).toEqual(['a', 'a', 'a']);
    expect(await results()).toEqual({ requeue_after: 3 });
    await controller.stop(1_000);
  });

  it.each<[string, () => unknown]>([
    ['an error', () => new Error('no')],
    ['a string', () => 'no'],
    ['nothing', () => undefined],
    ['a conflict', () => new ApiError('conflict', 'no')],
    ['a refused permission', () => new ApiError('forbidden', 'no')],
  ])('tries again with backoff what threw %s, while other keys go on', async (_what, thrown) => {
    let bad = 0;
    let good = 0;
    const { queue, pass, controller } = setup(async (key) => {
      if (key === 'good') good++;
      else if (bad++ < 3) throw thrown();
      return {};
    });
    queue.add('bad');
    await pass(5);
    queue.add('good');
    await pass(200);
    expect({ bad, good }).toEqual({ bad: 4, good: 1 });
    await controller.stop(1_000);
  });

  it('survives a reconcile that throws before its first await', async () => {
    let calls = 0;
    const { queue, pass, controller } = setup(() => {
      calls++;
      throw new Error('at once');
    });
    queue.add('a');
    await pass(100);
    expect(calls).toBeGreaterThan(2);
    await controller.stop(1_000);
  });

  it('does not try again what will fail again, until something changes', async () => {
    let calls = 0;
    const { queue, pass, controller, results } = setup(async () => {
      calls++;
      throw new WeirError('bad-spec', 'not to be had');
    });
    queue.add('a');
    await pass(1_000);
    expect(calls).toBe(1);
    queue.add('a');
    await pass(10);
    expect(calls).toBe(2);
    expect(await results()).toEqual({ terminal: 2 });
    await controller.stop(1_000);
  });

  it('waits as long as the API server asks', async () => {
    const at: number[] = [];
    const { queue, pass, clock, controller } = setup(async () => {
      at.push(clock.monotonic());
      if (at.length === 1) throw new ApiError('too-many-requests', 'slow', { retryAfterMs: 700 });
      return {};
    });
    queue.add('a');
    await pass(1_000);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(700);
    await controller.stop(1_000);
  });

  it('tells a reconcile that takes too long to end', async () => {
    let aborted = false;
    const { queue, pass, controller } = setup(async (_key, signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      aborted = true;
      throw new Error('aborted');
    });
    queue.add('a');
    await pass(29_000);
    expect(aborted).toBe(false);
    await pass(2_000);
    expect(aborted).toBe(true);
    const stopping = controller.stop(0);
    await stopping;
  });

  it('finishes what it does at a stop, and starts nothing new', async () => {
    let finish: () => void = () => {};
    const seen: string[] = [];
    const { queue, pass, controller } = setup(
      async (key) => {
        seen.push(key);
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return { requeueAfterMs: 1 };
      },
      { concurrency: 1 },
    );
    queue.add('a');
    queue.add('b');
    await pass(10);
    let stopped = false;
    const stopping = controller.stop(10_000).then(() => {
      stopped = true;
    });
    await pass(100);
    expect(stopped).toBe(false);
    finish();
    await stopping;
    expect(seen).toEqual(['a']);
  });

  it('aborts what does not end in its grace at a stop', async () => {
    const { queue, pass, controller } = setup(
      (_key, signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
    );
    queue.add('a');
    await pass(10);
    const stopping = controller.stop(500);
    await pass(600);
    await stopping;
  });
});

describe('the turns of many keys', () => {
  const keys = Array.from({ length: 1_000 }, (_, i) => `team-${i % 7}/scaler-${i}`);

  it('are spread over the period', () => {
    const perSecond = new Array<number>(15).fill(0);
    for (const key of keys) perSecond[Math.floor((untilNextTurn(key, 15_000, 0) % 15_000) / 1_000)]!++;
    expect(Math.max(...perSecond)).toBeLessThan(2 * (1_000 / 15));
    expect(Math.min(...perSecond)).toBeGreaterThan(0.4 * (1_000 / 15));
  });

  it('come once a period, and stay where they are', () => {
    for (const key of keys.slice(0, 50)) {
      let now = 1_790_000_000_123;
      const first = now + untilNextTurn(key, 15_000, now);
      now = first;
      for (let i = 0; i < 10; i++) {
        // A reconcile takes a moment.
        const wait = untilNextTurn(key, 15_000, now + 40);
        expect(wait).toBeGreaterThanOrEqual(7_500);
        now = now + 40 + wait;
      }
      expect(now - first).toBe(150_000);
    }
  });
});
