import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lanes } from './lanes.ts';
import { MAX_CALL_BYTES, MAX_CALL_RECORDS } from './policy.ts';

interface Item {
  partitionKey: string;
  bytes: number;
  acceptedAt: number;
}

const item = (partitionKey: string, acceptedAt: number, bytes = 10): Item => ({
  partitionKey,
  bytes,
  acceptedAt,
});
const times = (items: readonly Item[]) => items.map((i) => i.acceptedAt);

describe('lanes', () => {
  it('hold back a key that is in a call, and let the others go on', () => {
    const lanes = new Lanes<Item>(500);
    lanes.push(item('a', 1));
    expect(times(lanes.take())).toEqual([1]);
    lanes.push(item('a', 2));
    lanes.push(item('b', 3));
    expect(times(lanes.take())).toEqual([3]);
    expect(lanes.take()).toEqual([]);
    lanes.release('a', []);
    expect(times(lanes.take())).toEqual([2]);
  });

  it('send what failed before what came later, of its own key and of others', () => {
    const lanes = new Lanes<Item>(500);
    lanes.push(item('a', 1));
    const failed = lanes.take();
    lanes.push(item('a', 2));
    lanes.push(item('b', 3));
    expect(lanes.oldestAcceptedAt).toBe(3);
    lanes.release('a', failed);
    expect(lanes.oldestAcceptedAt).toBe(1);
    expect(times(lanes.take())).toEqual([1, 2, 3]);
  });

  it('take one record of each key where the order is strict', () => {
    const lanes = new Lanes<Item>(1);
    for (const [key, at] of [
      ['a', 1],
      ['a', 2],
      ['b', 3],
    ] as const)
      lanes.push(item(key, at));
    expect(lanes.sendableRecords).toBe(2);
    expect(times(lanes.take())).toEqual([1, 3]);
    lanes.release('a', []);
    expect(times(lanes.take())).toEqual([2]);
  });

  it.each([1, 3, 500])('keep order, limits and sums through any history, %i of a key a call', (perKey) => {
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          key: fc.integer({ min: 0, max: 5 }),
          bytes: fc.constantFrom(1, 90, 2_000_000),
        }),
      },
      { weight: 2, arbitrary: fc.constantFrom('take' as const) },
      { weight: 2, arbitrary: fc.record({ settle: fc.nat(), failed: fc.array(fc.boolean()) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const lanes = new Lanes<Item>(perKey);
        const inCalls = new Map<string, Item[]>();
        const waiting = new Map<string, Item[]>();
        for (const [at, next] of steps.entries()) {
          if (next === 'take') {
            const taken = lanes.take();
            expect(taken.length).toBeLessThanOrEqual(MAX_CALL_RECORDS);
            expect(taken.reduce((sum, i) => sum + i.bytes, 0)).toBeLessThanOrEqual(MAX_CALL_BYTES);
            for (const key of new Set(taken.map((i) => i.partitionKey))) {
              expect(inCalls.has(key)).toBe(false);
              const ofKey = taken.filter((i) => i.partitionKey === key);
              expect(ofKey.length).toBeLessThanOrEqual(perKey);
              // The front of its queue, in order.
              expect(times(ofKey)).toEqual(times(waiting.get(key)!.splice(0, ofKey.length)));
              inCalls.set(key, ofKey);
            }
          } else if ('key' in next) {
            const pushed = item(`k${next.key}`, at, next.bytes);
            lanes.push(pushed);
            waiting.set(pushed.partitionKey, [...(waiting.get(pushed.partitionKey) ?? []), pushed]);
          } else if (inCalls.size > 0) {
            const [key, ofKey] = [...inCalls][next.settle % inCalls.size]!;
            const again = ofKey.filter((_, i) => next.failed[i]);
            lanes.release(key, again);
            inCalls.delete(key);
            waiting.set(key, [...again, ...waiting.get(key)!]);
          }
          const free = [...waiting].filter(([key]) => !inCalls.has(key)).map(([, items]) => items);
          expect(lanes.sendableRecords).toBe(
            free.reduce((sum, items) => sum + Math.min(items.length, perKey), 0),
          );
          expect(lanes.sendableBytes === 0).toBe(lanes.sendableRecords === 0);
        }
      }),
      { numRuns: 100 },
    );
  });
});
