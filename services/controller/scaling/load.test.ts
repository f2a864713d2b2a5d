import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { observe } from './fixtures.ts';
import { busiestPod, podsFor, requiredRate, shardsPerPod, truePodRate } from './load.ts';
import type { ShardObservation } from './observation.ts';

const OBJECTIVE = { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 };

describe('load', () => {
  it('asks for the arrival with its reserve, the backlog over the catch-up time, and what a restart piles up', () => {
    expect(requiredRate(700, 0, OBJECTIVE, 0)).toBeCloseTo(1_000);
    expect(requiredRate(700, 300, OBJECTIVE, 0)).toBeCloseTo(1_700);
    expect(requiredRate(700, 300, OBJECTIVE, 30)).toBeCloseTo(1_770);
  });

  it('finds the smallest number of pods', () => {
    const load = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(load, fc.double({ min: 1, max: 5_000, noNaN: true }), (loads, podRate) => {
        const carries = (pods: number) => busiestPod(loads, shardsPerPod(loads.length, pods)) <= podRate;
        const pods = podsFor(loads, podRate);
        if (loads.every((one) => one === 0)) expect(pods).toBe(0);
        else {
          expect(carries(pods) || pods === loads.length).toBe(true);
          if (pods > 1) expect(carries(pods - 1)).toBe(false);
        }
      }),
    );
  });

  it('sees how much a busy pod does, and nothing of one that idles', () => {
    const shard = (owner: string, records: number, busyShare: number) => ({
      ...(observe().stream?.shards[0] as ShardObservation),
      owner,
      processed: { records, bytes: 0 },
      busyShare,
    });
    // Waits of two shards overlap: a pod is not busier than all the time.
    expect(truePodRate([shard('a', 300, 0.9), shard('a', 300, 0.9)])).toEqual({
      records: 600,
      atLeast: false,
    });
    expect(truePodRate([shard('a', 300, 0.5), shard('b', 5, 0.01)])?.records).toBe(600);
    expect(truePodRate([shard('b', 5, 0.01)])).toBeUndefined();
    expect(truePodRate([])).toBeUndefined();
  });

  it('learns it by how full a pod is, not by how long its shards wait for the table', () => {
    const shard = (owner: string, records: number, busyShare: number, workerUtilization?: number) =>
      ({ owner, processed: { records, bytes: 0 }, busyShare, workerUtilization }) as ShardObservation;
    const waiting = [0.2, 0.2, 0.15].map((used) => shard('a', 100, 0.6, used));
    expect(truePodRate(waiting)).toEqual({ records: 1_500, atLeast: false });
    expect(truePodRate([shard('b', 0, 1, 1)])).toEqual({ records: 0, atLeast: false });
    expect(truePodRate([shard('a', 300, 0.5, 0.1), shard('old', 300, 0.5)])?.records).toBe(1_000);
  });

  it('takes pods that are nearly empty for able of more, and only where no other one tells', () => {
    const shard = (owner: string, records: number, workerUtilization: number) =>
      ({ owner, processed: { records, bytes: 0 }, busyShare: 0.5, workerUtilization }) as ShardObservation;
    const light = [shard('a', 100, 0.05), shard('b', 40, 0.02), shard('idle', 0, 0.03)];
    expect(truePodRate(light)).toEqual({ records: expect.closeTo(2_000), atLeast: true });
    expect(truePodRate([...light, shard('c', 400, 0.5)])).toEqual({ records: 800, atLeast: false });
    expect(truePodRate([shard('idle', 0, 0.03)])).toBeUndefined();
  });
});
