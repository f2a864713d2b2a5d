import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRegistry } from '../../shared/metrics.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { createRuntimeMetrics } from './metrics.ts';
import { WorkQueue } from './work-queue.ts';

function setup(limits = {}) {
  const clock = new VirtualClock();
  const registry = createRegistry('test');
  const queue = new WorkQueue({ name: 'q', clock, metrics: createRuntimeMetrics(registry), limits });
  /** Takes what can be taken now, without waiting. */
  const drain = async () => {
    const taken: string[] = [];
    while (queue.depth > 0) taken.push((await queue.take())!);
    return taken;
  };
  return { clock, registry, queue, drain };
}

describe('the work queue', () => {
  it('holds a key once, oldest first', async () => {
    const { queue, drain } = setup();
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    expect(queue.depth).toBe(3);
    expect(await drain()).toEqual(['a', 'b', 'c']);
  });

  it('gives a key that was added while it is worked on again afterwards, once', async () => {
    const { queue, drain } = setup();
    queue.add('a');
    expect(await queue.take()).toBe('a');
    queue.add('a');
    queue.add('a');
    expect(queue.depth).toBe(0);
    queue.done('a');
    expect(await drain()).toEqual(['a']);
    queue.done('a');
    expect(queue.depth).toBe(0);
  });

  it('never has a key under work twice, whatever happens in whatever order', async () => {
    const keys = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key: keys }),
      fc.record({ do: fc.constant('after' as const), key: keys, ms: fc.integer({ min: -5, max: 50 }) }),
      fc.record({ do: fc.constant('fail' as const), key: keys }),
      fc.record({ do: fc.constant('take' as const) }),
      fc.record({ do: fc.constant('done' as const), key: keys }),
      fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 60 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { queue, clock } = setup();
        const working = new Set<string>();
        const wanted = new Set<string>();
        for (const s of steps) {
          if (s.do === 'add') queue.add(s.key);
          if (s.do === 'after') queue.addAfter(s.key, s.ms);
          if (s.do === 'fail') queue.addRateLimited(s.key);
          if (s.do === 'add' || s.do === 'after' || s.do === 'fail') wanted.add(s.key);
          if (s.do === 'advance') clock.advance(s.ms);
          await turn();
          if (s.do === 'take' && queue.depth > 0) {
            const key = (await queue.take())!;
            expect(working.has(key)).toBe(false);
            working.add(key);
            wanted.delete(key);
          }
          if (s.do === 'done' && working.delete(s.key)) queue.done(s.key);
        }
        // Nothing that was asked for after its last start is lost.
        for (const key of working) queue.done(key);
        for (let i = 0; i < 50; i++) {
          clock.advance(10_000);
          await turn();
          while (queue.depth > 0) {
            const key = (await queue.take())!;
            wanted.delete(key);
            queue.done(key);
          }
        }
        expect([...wanted]).toEqual([]);
        await queue.close();
      }),
      { numRuns: 60 },
    );
  });

  it('wakes who waits for a key, in their order', async () => {
    const { queue } = setup();
    const first = queue.take();
    const second = queue.take();
    queue.add('a');
    queue.add('b');
    expect(await first).toBe('a');
    expect(await second).toBe('b');
  });

  it('adds later, at the earliest wish, and at once when asked in between', async () => {
    const { queue, clock, drain } = setup();
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 500);
    queue.addAfter('a', 2_000);
    queue.addAfter('b', 100);
    queue.add('b');
    expect(await drain()).toEqual(['b']);
    queue.done('b');
    clock.advance(499);
    await turn();
    expect(await drain()).toEqual([]);
    clock.advance(1);
    await turn();
    expect(await drain()).toEqual(['a']);
    queue.done('a');
    clock.advance(5_000);
    await turn();
    expect(await drain()).toEqual([]);
  });

  it('waits longer with each failure of a key, but never for ever, and starts over after a success', async () => {
    const { queue, clock, drain } = setup({ baseMs: 10, maxMs: 80, perSecond: 1e6, burst: 1e6 });
    const waits: number[] = [];
    const wait = async () => {
      queue.addRateLimited('a');
      for (let ms = 0; ms <= 200; ms++) {
        await turn();
        if ((await drain()).length > 0) {
          queue.done('a');
          return ms;
        }
        clock.advance(1);
      }
      return Number.NaN;
    };
    for (let i = 0; i < 6; i++) waits.push(await wait());
    expect(waits).toEqual([10, 20, 40, 80, 80, 80]);
    queue.forget('a');
    expect(await wait()).toBe(10);
  });

  it('holds retries of all keys to one rate, and waits as long as the server asks', async () => {
    const { queue, clock, drain } = setup({ baseMs: 1, perSecond: 10, burst: 2 });
    for (let i = 0; i < 12; i++) queue.addRateLimited(`k${i}`);
    clock.advance(1);
    await turn();
    expect(await drain()).toHaveLength(2);
    clock.advance(499);
    await turn();
    expect(await drain()).toHaveLength(5);
    queue.addRateLimited('slow', 30_000);
    clock.advance(29_000);
    await turn();
    expect(await drain()).not.toContain('slow');
    clock.advance(1_000);
    await turn();
    expect(await drain()).toContain('slow');
  });

  it('does not mind a wall clock that jumps: it only looks at the monotonic one', async () => {
    const clock = new VirtualClock();
    const jumping = { now: () => -1e15, monotonic: () => clock.monotonic(), sleep: clock.sleep.bind(clock) };
    const queue = new WorkQueue({
      name: 'q',
      clock: jumping,
      metrics: createRuntimeMetrics(createRegistry('t')),
    });
    queue.addAfter('a', 10);
    clock.advance(10);
    expect(await queue.take()).toBe('a');
  });

  it('lets go at its close: takers wake, work in hand is waited for, the rest is dropped', async () => {
    const { queue } = setup();
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 5);
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
    });
    expect(await queue.take()).toBeUndefined();
    await turn();
    expect(closed).toBe(false);
    queue.done('a');
    await closing;
    queue.add('d');
    expect(queue.depth).toBe(0);
  });

  it('tells how it does', async () => {
    const { queue, clock, registry } = setup();
    queue.add('a');
    clock.advance(2_000);
    await queue.take();
    clock.advance(3_000);
    const text = await registry.metrics();
    expect(text).toMatch(/workqueue_queue_duration_seconds_sum\{[^}]*\} 2\b/);
    expect(text).toMatch(/workqueue_unfinished_work_seconds\{[^}]*\} 3\b/);
    expect(text).toMatch(/workqueue_longest_running_processor_seconds\{[^}]*\} 3\b/);
  });
});
