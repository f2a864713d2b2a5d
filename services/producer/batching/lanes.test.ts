import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lane, Lanes, type Queued } from './lanes.ts';
import { Packer } from './packer.ts';
import { MAX_CALL_BYTES, MAX_CALL_RECORDS, MAX_SHARD_BYTES, type SourceOrder } from './policy.ts';

const FOREVER = Number.POSITIVE_INFINITY;

const item = (partitionKey: string, acceptedAt: number, bytes = 10, deadline = FOREVER): Queued => ({
  partitionKey,
  bytes,
  acceptedAt,
  deadline,
  data: new Uint8Array(),
});

/** Lanes that are in a call, by key. */
const inCall = new Map<string, Lane<Queued>>();

/** Takes one call: when its events were accepted, in order, and what it left out. */
function take(lanes: Lanes<Queued>, order: SourceOrder = 'relaxed', now = 0) {
  const packer = new Packer<Queued>('off', order);
  const { lanes: taken, expired } = lanes.take(packer, now);
  for (const lane of taken) inCall.set(lane.key, lane);
  const keys = taken.map((lane) => lane.key);
  const events = packer.records().flatMap((record) => record.members);
  return { keys, expired, events, times: events.map((event) => event.acceptedAt) };
}

describe('lanes', () => {
  it('hold back a key that is in a call, and let the others go on', () => {
    const lanes = new Lanes<Queued>();
    lanes.push(item('a', 1), 's');
    expect(take(lanes).times).toEqual([1]);
    lanes.push(item('a', 2), 's');
    lanes.push(item('b', 3), 's');
    expect(take(lanes).times).toEqual([3]);
    expect(take(lanes).times).toEqual([]);
    lanes.release(inCall.get('a')!, [], () => 's');
    expect(take(lanes).times).toEqual([2]);
  });

  it('send what failed before what came later, of its own key and of others', () => {
    const lanes = new Lanes<Queued>();
    lanes.push(item('a', 1), 's');
    const failed = take(lanes).events;
    lanes.push(item('a', 2), 's');
    lanes.push(item('b', 3), 's');
    expect(lanes.oldestSendableAt).toBe(3);
    lanes.release(inCall.get('a')!, failed, () => 's');
    expect(lanes.oldestSendableAt).toBe(1);
    expect(take(lanes).times).toEqual([1, 2, 3]);
  });

  it('take one record of each key where the order is strict', () => {
    const lanes = new Lanes<Queued>();
    for (const [key, at] of [
      ['a', 1],
      ['a', 2],
      ['b', 3],
    ] as const)
      lanes.push(item(key, at), 's');
    expect(take(lanes, 'strict').times).toEqual([1, 3]);
    lanes.release(inCall.get('a')!, [], () => 's');
    expect(take(lanes, 'strict').times).toEqual([2]);
  });

  it('leave a shard alone that is held, and go on with the others', () => {
    const lanes = new Lanes<Queued>();
    lanes.push(item('a', 1), 's0');
    lanes.push(item('b', 2), 's1');
    lanes.hold('s0');
    lanes.push(item('c', 3), 's0');
    expect([lanes.sendableRecords, lanes.oldestSendableAt, lanes.oldestWaitingAt]).toEqual([1, 2, 1]);
    expect(lanes.oldestOfShard('s0')).toBe(1);
    expect(take(lanes).times).toEqual([2]);
    lanes.unhold('s0');
    expect(lanes.sendableRecords).toBe(2);
    expect(take(lanes).times).toEqual([1, 3]);
  });

  it('take no more of a shard than its part of a call, and next time the shards first that got nothing', () => {
    const lanes = new Lanes<Queued>();
    for (let shard = 0; shard < 22; shard++) {
      for (let i = 0; i < 4; i++) lanes.push(item(`${shard}-${i}`, shard, MAX_SHARD_BYTES / 2), `s${shard}`);
    }
    expect(lanes.fullestShardBytes).toBe(MAX_SHARD_BYTES * 2);
    const firstCall = take(lanes).times;
    expect(firstCall).toHaveLength(40); // 20 shards with 256 KiB fill 5 MiB
    // The one that ended the call is still first; those behind it got nothing.
    expect(take(lanes).times.slice(0, 6)).toEqual([19, 19, 20, 20, 21, 21]);
  });

  it('hand out what is too late instead of sending it', () => {
    const lanes = new Lanes<Queued>();
    lanes.push(item('a', 1, 10, 100), 's');
    lanes.push(item('a', 2, 10, 200), 's');
    const { expired, times, keys } = take(lanes, 'strict', 100);
    expect([expired.map((e) => e.acceptedAt), times, keys]).toEqual([[1], [2], ['a']]);
    expect(lanes.sendableRecords).toBe(0);
  });

  it('follow a reshard, with what failed still before the rest', () => {
    const lanes = new Lanes<Queued>();
    lanes.push(item('a', 1), 's0');
    const failed = take(lanes).events;
    lanes.release(inCall.get('a')!, failed, () => 's0');
    for (const [key, at] of [
      ['b', 2],
      ['c', 3],
    ] as const)
      lanes.push(item(key, at), 's0');
    lanes.hold('s0');
    lanes.regroup((key) => (key === 'c' ? 's2' : 's1'));
    expect(lanes.sendableRecords).toBe(3);
    lanes.hold('s2');
    expect(take(lanes).times).toEqual([1, 2]);
  });

  it.each(['strict', 'relaxed'] as const)('keep order, limits and sums through any history, %s', (order) => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          key: fc.integer({ min: 0, max: 5 }),
          bytes: fc.constantFrom(1, 90, 200_000),
        }),
      },
      { weight: 2, arbitrary: fc.constantFrom('take' as const) },
      { weight: 2, arbitrary: fc.record({ settle: fc.nat(), failed: fc.array(fc.boolean()) }) },
      { weight: 1, arbitrary: fc.record({ hold: fc.nat(2) }) },
      { weight: 1, arbitrary: fc.record({ unhold: fc.nat(2) }) },
      { weight: 1, arbitrary: fc.record({ shards: fc.integer({ min: 1, max: 3 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const lanes = new Lanes<Queued>();
        let shards = 2;
        let held = new Set<string>();
        const shardOf = (key: string) => `s${Number(key.slice(1)) % shards}`;
        const inCalls = new Map<string, Queued[]>();
        const waiting = new Map<string, Queued[]>();
        for (const [at, next] of steps.entries()) {
          if (next === 'take') {
            const { events, keys } = take(lanes, order);
            expect(events.length).toBeLessThanOrEqual(MAX_CALL_RECORDS);
            expect(events.reduce((sum, e) => sum + e.bytes, 0)).toBeLessThanOrEqual(MAX_CALL_BYTES);
            expect(keys.sort()).toEqual([...new Set(events.map((e) => e.partitionKey))].sort());
            for (const key of keys) {
              expect(inCalls.has(key)).toBe(false);
              expect(held.has(shardOf(key))).toBe(false);
              const ofKey = events.filter((e) => e.partitionKey === key);
              if (order === 'strict') expect(ofKey).toHaveLength(1);
              // The front of its queue, in order.
              expect(ofKey).toEqual(waiting.get(key)!.splice(0, ofKey.length));
              inCalls.set(key, ofKey);
            }
          } else if ('key' in next) {
            const pushed = item(`k${next.key}`, at, next.bytes);
            lanes.push(pushed, shardOf(pushed.partitionKey));
            waiting.set(pushed.partitionKey, [...(waiting.get(pushed.partitionKey) ?? []), pushed]);
          } else if ('hold' in next) {
            // A shard that nothing waits for yet can't be held.
            if (lanes.oldestOfShard(`s${next.hold}`) !== undefined) held.add(`s${next.hold}`);
            if (held.has(`s${next.hold}`)) lanes.hold(`s${next.hold}`);
          } else if ('unhold' in next) {
            held.delete(`s${next.unhold}`);
            lanes.unhold(`s${next.unhold}`);
          } else if ('shards' in next) {
            shards = next.shards;
            held = new Set();
            lanes.regroup(shardOf);
          } else if (inCalls.size > 0) {
            const [key, ofKey] = [...inCalls][next.settle % inCalls.size]!;
            const again = ofKey.filter((_, i) => next.failed[i]);
            lanes.release(inCall.get(key)!, again, shardOf);
            inCalls.delete(key);
            waiting.set(key, [...again, ...waiting.get(key)!]);
          }
          const free = [...waiting]
            .filter(([key]) => !inCalls.has(key) && !held.has(shardOf(key)))
            .flatMap(([, events]) => events);
          expect(lanes.sendableRecords).toBe(free.length);
          expect(lanes.sendableBytes).toBe(free.reduce((sum, e) => sum + e.bytes, 0));
        }
      }),
      { numRuns: 200 },
    );
  });
});
