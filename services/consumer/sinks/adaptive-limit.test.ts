import { describe, expect, it } from 'vitest';
import { AdaptiveLimit } from './adaptive-limit.ts';

/** A call that ends when it is told to, and how. */
function call(limit: AdaptiveLimit, progress = () => {}) {
  let end: (throttled: boolean) => void = () => {};
  let started = false;
  const done = limit.run(() => {
    started = true;
    return new Promise<{ throttled: boolean }>((resolve) => {
      end = (throttled) => resolve({ throttled });
    });
  }, progress);
  return {
    get started() {
      return started;
    },
    async end(throttled: boolean) {
      end(throttled);
      await done;
    },
  };
}

let at = 0;
const clock = { monotonic: () => at };
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('the adaptive limit', () => {
  it('lets no more calls run than its bound, first come first served', async () => {
    const limit = new AdaptiveLimit(2, clock);
    const calls = Array.from({ length: 5 }, () => call(limit));
    await settle();
    expect(calls.map(({ started }) => started)).toEqual([true, true, false, false, false]);
    await calls[1]!.end(false);
    await settle();
    expect(calls.map(({ started }) => started)).toEqual([true, true, true, false, false]);
    for (const n of [0, 2, 3, 4]) {
      await settle();
      await calls[n]!.end(false);
    }
  });

  it('halves once for a burst of throttles, and not below one', async () => {
    const limit = new AdaptiveLimit(16, clock);
    const burst = Array.from({ length: 16 }, () => call(limit));
    await settle();
    for (const one of burst) await one.end(true);
    expect(limit.current).toBe(8);
    for (let i = 0; i < 10; i++) {
      const one = call(limit);
      await settle();
      await one.end(true);
    }
    expect(limit.current).toBe(1);
  });

  it('grows back by about one call for each round that went well, up to its bound', async () => {
    const limit = new AdaptiveLimit(4, clock);
    const throttled = call(limit);
    await settle();
    await throttled.end(true);
    expect(limit.current).toBe(2);
    const sizes: number[] = [];
    for (let i = 0; i < 12; i++) {
      const one = call(limit);
      await settle();
      await one.end(false);
      sizes.push(limit.current);
    }
    expect(sizes[0]).toBe(2);
    expect(sizes.at(-1)).toBe(4);
    expect(sizes).toEqual([...sizes].sort());
  });

  it('tells how much of it was used', async () => {
    const limit = new AdaptiveLimit(4, clock);
    at += 1_000;
    expect(limit.usedMs).toBe(0);
    const calls = Array.from({ length: 6 }, () => call(limit));
    await settle();
    at += 100; // four in flight, two wait
    for (const one of calls.slice(0, 3)) await one.end(false);
    await settle();
    at += 100; // three
    expect(limit.usedMs).toBeCloseTo(175);
    await calls[3]!.end(true); // now two are all that may be
    await settle();
    at += 100;
    expect(limit.usedMs).toBeCloseTo(275);
    for (const one of calls.slice(4)) await one.end(false);
    at += 100;
    expect(limit.usedMs).toBeCloseTo(275);
  });

  it('tells each that waits that the queue moves, once however many calls it has in there, and nobody in flight', async () => {
    const limit = new AdaptiveLimit(2, clock);
    const told = { flying: 0, waiting: 0 };
    const waiting = () => void told.waiting++;
    const flying = Array.from({ length: 2 }, () => call(limit, () => void told.flying++));
    const queue = Array.from({ length: 100 }, () => call(limit, waiting));
    await settle();
    expect(told).toEqual({ flying: 2, waiting: 100 });
    at += 10_000;
    await flying[0]!.end(false);
    expect(told).toEqual({ flying: 2, waiting: 101 });
    await settle();
    for (const one of queue.slice(0, 50)) {
      at += 10;
      await one.end(false);
      await settle();
    }
    expect(told).toEqual({ flying: 2, waiting: 102 });
    at += 10_000;
    await queue[50]!.end(true);
    expect(told).toEqual({ flying: 2, waiting: 103 });
  });

  it('keeps its room when a call throws', async () => {
    const limit = new AdaptiveLimit(1, clock);
    const none = () => {};
    await expect(limit.run(() => Promise.reject(new Error('no')), none)).rejects.toThrow('no');
    expect(await limit.run(async () => ({ throttled: false }), none)).toEqual({ throttled: false });
  });
});
