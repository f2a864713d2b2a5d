import { describe, expect, it } from 'vitest';
import type { Decision } from './decision.ts';
import { decideOn, LEARNED, START, TICK } from './fixtures.ts';
import { emptyMemory, type Memory } from './memory.ts';
import type { ShardObservation } from './observation.ts';

describe('ineffective scaling', () => {
  /** Ticks over a system whose pods together never do more than `ceiling`. */
  function run(ceiling: number, change?: (shards: ShardObservation[]) => ShardObservation[]) {
    let memory: Memory = { ...emptyMemory(), ...LEARNED, arrival: { records: 2_000, bytes: 600_000 } };
    let replicas = 1;
    let lag = 100;
    const seen: Decision[] = [];
    for (let tick = 0; tick < 60; tick++) {
      const processed = Math.min(ceiling, replicas * 1_000);
      lag = Math.max(0, lag + 15 * (1 - processed / 2_000));
      const load = {
        at: START + tick * TICK,
        shards: 16,
        arrival: 2_000,
        replicas,
        processed,
        lag,
      };
      const result = decideOn({ ...load, busy: 1, ...(change ? { change } : {}) }, memory, {
        shards: { min: 16, max: 16 },
      });
      ({ memory } = result);
      seen.push(result.decision);
      replicas = result.decision.replicas.desired;
    }
    return seen;
  }

  it('stops when the sink is dead, and names it', () => {
    const seen = run(0);
    const stopped = seen.find(({ ineffective }) => ineffective);
    expect(stopped?.ineffective).toMatchObject({ cause: 'DeadSink' });
    expect(stopped?.replicas.sentence).toMatch(/what they write to is slow, throttles or is down/);
    const replicas = seen.map((decision) => decision.replicas.desired);
    expect(Math.max(...replicas)).toBeLessThan(16);
  });

  it('names a shard that holds all of the backlog', () => {
    const seen = run(500, (shards) =>
      shards.map((s, i) => ({ ...s, lagSeconds: i === 0 ? s.lagSeconds : 1 })),
    );
    expect(seen.find(({ ineffective }) => ineffective)?.ineffective?.cause).toBe('HotShard');
  });

  it('does not wait for ever for pods that never tell anything', () => {
    const trial = { at: START - 901_000, from: 1, to: 4, processed: 900, lagSeconds: 100 };
    const slow = { ...LEARNED, podRate: 300, replicas: 4, trial };
    const load = { shards: 16, arrival: 4_000, replicas: 4, ready: 1, lag: 900, busy: 0 };
    expect(decideOn(load, slow).decision.replicas.desired).toBe(8);
    expect(
      decideOn(load, { ...slow, trial: { ...trial, at: START - 60_000 } }).decision.replicas.desired,
    ).toBe(4);
  });

  it('goes on while pods help', () => {
    expect(run(Number.POSITIVE_INFINITY).some(({ ineffective }) => ineffective)).toBe(false);
  });
});
