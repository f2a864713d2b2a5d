import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DAY, decideOn, LEARNED, SPEC, START, TICK } from './fixtures.ts';
import { usedCalls } from './ledger.ts';
import { emptyMemory, MAX_ENTRIES, type Memory, memorySchema } from './memory.ts';

/** A load at which a pod that does 1,000 a second shows it. */
const busyAt = (processed: number, replicas: number) => processed / replicas / 1_000;

/** Loads as they may come, in any order. */
const loads = fc.record({
  shards: fc.integer({ min: 1, max: 12 }),
  arrival: fc.integer({ min: 0, max: 12_000 }),
  processed: fc.integer({ min: 0, max: 12_000 }),
  lag: fc.option(fc.double({ min: 0, max: 100_000, noNaN: true }), { nil: undefined }),
  busy: fc.double({ min: 0, max: 1, noNaN: true }),
  replicas: fc.integer({ min: 0, max: 30 }),
  status: fc.constantFrom('ACTIVE', 'ACTIVE', 'ACTIVE', 'UPDATING'),
  seconds: fc.integer({ min: 1, max: 4_000 }),
});

describe('whatever comes', () => {
  it('stays within the bounds, never in while blind, and never overdraws the budget', () => {
    fc.assert(
      fc.property(fc.array(loads, { minLength: 1, maxLength: 60 }), (steps) => {
        let memory = emptyMemory();
        let at = START;
        const calls: number[] = [];
        for (const { seconds, ...load } of steps) {
          at += seconds * 1000;
          const result = decideOn({ ...load, at }, memory);
          ({ memory } = result);
          const { replicas, shards, blind } = result.decision;
          if (!blind) expect(replicas.desired).toBeLessThanOrEqual(SPEC.replicas.max);
          expect(replicas.desired).toBeGreaterThanOrEqual(SPEC.replicas.min);
          if (blind) expect(replicas.desired).toBeGreaterThanOrEqual(load.replicas);
          if (blind) expect(shards.desired).toBeGreaterThanOrEqual(shards.current);
          expect(shards.desired).toBeLessThanOrEqual(Math.max(20, shards.current));
          if (shards.step?.kind === 'update-shard-count') {
            expect(shards.desired).toBeLessThanOrEqual(shards.current * 2);
            expect(shards.desired).toBeGreaterThanOrEqual(shards.current / 2);
            expect(load.status).toBe('ACTIVE');
            // The double answers as AWS does: a call is made, and counts.
            if (!memory.ledger.some((call) => call.at === at)) expect(calls.length).toBeGreaterThan(0);
            else calls.push(at);
          }
          expect(calls.filter((call) => call > at - DAY).length).toBeLessThanOrEqual(10);
          expect(usedCalls(memory, at)).toBeGreaterThanOrEqual(
            calls.filter((call) => call > at - DAY).length,
          );
          expect(memorySchema.safeParse(memory).success).toBe(true);
          expect(JSON.stringify(memory).length).toBeLessThan(15_000);
          expect(memory.replicaPeaks.length).toBeLessThanOrEqual(MAX_ENTRIES);
          expect(result.decision.sentence).not.toMatch(/NaN|undefined|Infinity/);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('asks for no fewer pods when the lag is higher', () => {
    fc.assert(
      fc.property(loads, fc.double({ min: 0, max: 10_000, noNaN: true }), (load, more) => {
        const at = (lag: number) => decideOn({ ...load, lag }, LEARNED).decision.replicas;
        const [low, high] = [at(load.lag ?? 0), at((load.lag ?? 0) + more)];
        expect(high.desired).toBeGreaterThanOrEqual(low.desired);
        expect(high.needed ?? 0).toBeGreaterThanOrEqual(low.needed ?? 0);
      }),
      { numRuns: 500 },
    );
  });

  it('does not flap on a constant, noisy load', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 9_000 }),
        fc.infiniteStream(fc.double({ min: 0.97, max: 1.03, noNaN: true })),
        (arrival, noise) => {
          let memory: Memory = { ...emptyMemory(), ...LEARNED };
          let replicas = 1;
          let changes = 0;
          const spec = { shards: { min: 12, max: 12 } };
          for (let tick = 0; tick < 160; tick++) {
            const now = arrival * (noise.next().value as number);
            const load = { at: START + tick * TICK, shards: 12, arrival: now, processed: now, replicas };
            const result = decideOn({ ...load, busy: Math.min(1, busyAt(now, replicas)) }, memory, spec);
            ({ memory } = result);
            if (result.decision.replicas.desired !== replicas && tick > 40) changes++;
            replicas = result.decision.replicas.desired;
          }
          expect(changes).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('keeps through a quiet time what pods did in a busy one, and learns of pods that never had much to do', () => {
    // 20,000 a second, and 4 % of a pod go into renewals and polls.
    const utilization = (perPod: number) => 0.04 + perPod / 20_000;
    let memory = emptyMemory();
    let at = START;
    const run = (arrival: number, replicas: number, ticks: number) => {
      let desired = replicas;
      for (let n = 0; n < ticks; n++) {
        at += TICK;
        const load = { at, arrival, replicas, shards: 16, busy: 0.05 };
        const result = decideOn({ ...load, utilization: utilization(arrival / replicas) }, memory);
        ({ memory } = result);
        desired = result.decision.replicas.desired;
      }
      return desired;
    };
    expect(run(16_000, 2, 40)).toBe(2);
    const learned = memory.podRate ?? 0;
    expect(learned).toBeGreaterThan(15_000);
    run(50, 2, 40);
    expect(memory.podRate).toBe(learned);
    expect(run(16_000, 2, 1)).toBe(2);
    memory = emptyMemory();
    expect(run(50, 8, 40)).toBe(1);
  });
});
