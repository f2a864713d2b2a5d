import { describe, expect, it } from 'vitest';
import { decideOn, LEARNED, START, TICK } from './fixtures.ts';
import { emptyMemory } from './memory.ts';
import type { ShardObservation } from './observation.ts';

describe('replicas', () => {
  it('takes the smallest number whose busiest pod carries its shards', () => {
    // 1,000/s and 120 s behind: 1,000 x (1/0.7 + 150/300) = 1,929/s, two shards a pod carry 965.
    const { decision } = decideOn({ lag: 120, processed: 1_000, busy: 1 }, LEARNED);
    expect(decision.replicas).toMatchObject({ current: 1, desired: 2, reason: 'LagTooHigh' });
    expect(decision.replicas.sentence).toBe(
      'Scales out from 1 to 2 replicas: the worst shard is 2 min behind (objective 60 s); to catch up in 5 min 1,829 records/s are required and a pod does 1,000.',
    );
  });

  it('knows that between two steps more pods do nothing', () => {
    // 6 shards: 3 pods have 2 each, 4 and 5 pods too.
    const { decision } = decideOn({ shards: 6, arrival: 2_400, replicas: 3, busy: 0.8 }, LEARNED);
    expect(decision.replicas).toMatchObject({ needed: 6, desired: 6 });
    const fewer = decideOn({ shards: 6, arrival: 2_000, replicas: 3, busy: 0.667 }, LEARNED);
    expect(fewer.decision.replicas).toMatchObject({ desired: 3 });
  });

  it('goes up before there is lag when the load grows', () => {
    const { decision } = decideOn({ arrival: 1_600, replicas: 2, busy: 0.8 }, LEARNED);
    expect(decision.replicas).toMatchObject({ desired: 4, reason: 'LoadGrew' });
  });

  it('stays within the bounds, whatever the load asks for', () => {
    const high = decideOn({ lag: 600, processed: 1_000, busy: 1 }, LEARNED, { replicas: { min: 1, max: 3 } });
    expect(high.decision.replicas).toMatchObject({ needed: 4, desired: 3, reason: 'LimitedByBounds' });
    const low = decideOn({ arrival: 0, busy: 0 }, LEARNED, { replicas: { min: 2, max: 3 } });
    expect(low.decision.replicas).toMatchObject({ desired: 2, reason: 'LimitedByBounds' });
    const above = decideOn({ replicas: 5, busy: 0.1 }, LEARNED, { replicas: { min: 1, max: 3 } });
    expect(above.decision.replicas).toMatchObject({ desired: 3, reason: 'LimitedByBounds' });
  });

  it('leaves a small deviation alone', () => {
    const { decision } = decideOn({ arrival: 1_450, replicas: 2, busy: 0.725 }, LEARNED);
    expect(decision.replicas).toMatchObject({ desired: 2, reason: 'WithinTolerance' });
  });

  it('goes down by the highest recommendation of the window, and no earlier', () => {
    let memory = emptyMemory();
    const desired: number[] = [];
    for (let at = START; at <= START + 330_000; at += TICK) {
      const result = decideOn({ at, arrival: 600, replicas: 4, busy: 0.15 }, { ...LEARNED, ...memory });
      memory = result.memory;
      desired.push(result.decision.replicas.desired);
      if (at < START + 300_000) expect(result.decision.replicas.reason).toBe('Stabilizing');
    }
    expect(desired.slice(0, 20).every((n) => n === 4)).toBe(true);
    expect(desired.at(-1)).toBe(1);
  });

  it('wakes up for waiting records although nobody reads them, and sleeps when there are none', () => {
    const zero = { replicas: { min: 0, max: 20 } };
    const quiet = decideOn({ replicas: 0, arrival: 0, lag: 0 }, {}, zero);
    expect(quiet.decision.replicas).toMatchObject({ desired: 0, reason: 'OnTarget' });
    const nobodyKnows = (shards: ShardObservation[]) =>
      shards.map((shard) => ({ ...shard, arrival: undefined, processed: undefined, busyShare: undefined }));
    const waiting = decideOn({ replicas: 0, lag: 5, change: nobodyKnows }, {}, zero);
    expect(waiting.decision.replicas).toMatchObject({ desired: 1, reason: 'WokeUp' });
    const learned = decideOn(
      { replicas: 0, lag: 400, change: nobodyKnows },
      { ...LEARNED, arrival: { records: 1_000, bytes: 300_000 } },
      zero,
    );
    expect(learned.decision.replicas.desired).toBe(4);
    const idle = { ...LEARNED, replicaPeaks: [{ at: START - 10, value: 0 }] };
    expect(
      decideOn({ replicas: 2, arrival: 0, lag: 0, busy: 0 }, idle, zero).decision.replicas,
    ).toMatchObject({ desired: 0, reason: 'Idle' });
  });

  it('gives undrained parents the pods they need, and their children too', () => {
    const split = (shards: ShardObservation[]) => [
      ...shards.map((shard) => ({ ...shard, open: false, lagSeconds: 600 })),
      ...Array.from({ length: 2 }, (_, i) => ({
        ...(shards[i] as ShardObservation),
        shardId: `child-${i}`,
        startable: false,
        owner: undefined,
        processed: undefined,
        busyShare: undefined,
        arrival: undefined,
      })),
    ];
    const idle = { ...LEARNED, replicaPeaks: [{ at: START - 10, value: 1 }] };
    const { decision } = decideOn({ replicas: 4, busy: 0.25, change: split }, idle);
    expect(decision.replicas.desired).toBe(4);
    expect(decision.shards.reason).not.toBe('LoadFell');
  });

  it("obeys behavior in HPA's words", () => {
    const load = { lag: 600, arrival: 4_000, shards: 10, replicas: 2, busy: 1 };
    const pods = (value: number) => ({ policies: [{ type: 'Pods' as const, value, periodSeconds: 60 }] });
    const bounded = decideOn(load, LEARNED, { behavior: { scaleUp: pods(3) } });
    expect(bounded.decision.replicas).toMatchObject({ desired: 5, reason: 'LimitedByBehavior' });
    const used = { ...LEARNED, scaleEvents: [{ at: START - 30_000, from: 1, to: 2 }] };
    expect(decideOn(load, used, { behavior: { scaleUp: pods(3) } }).decision.replicas.desired).toBe(4);
    const disabled = { behavior: { scaleUp: { selectPolicy: 'Disabled' as const } } };
    expect(decideOn(load, LEARNED, disabled).decision.replicas.desired).toBe(2);
    const percent = {
      policies: [{ type: 'Percent' as const, value: 50, periodSeconds: 60 }, ...pods(1).policies],
    };
    expect(decideOn(load, LEARNED, { behavior: { scaleUp: percent } }).decision.replicas.desired).toBe(3);
    const least = { behavior: { scaleUp: { ...percent, selectPolicy: 'Min' as const } } };
    expect(decideOn({ ...load, replicas: 4 }, LEARNED, least).decision.replicas.desired).toBe(5);
  });

  it('stays and says why while it does not know the lag, except for what it does know', () => {
    const unknown = decideOn({ replicas: 3, lag: undefined, busy: 0.1 }, LEARNED);
    expect(unknown.decision).toMatchObject({ blind: true, replicas: { desired: 3 } });
    expect(unknown.decision.replicas.sentence).toContain("the lag of 4 of 4 shards isn't known");
    const oneIsKnown = (shards: ShardObservation[]) =>
      shards.map((shard, i) => ({ ...shard, lagSeconds: i === 0 ? 900 : undefined }));
    const partly = decideOn({ replicas: 1, busy: 1, change: oneIsKnown }, LEARNED);
    expect(partly.decision.replicas.desired).toBeGreaterThan(1);
  });

  it('decides and explains, but acts on nothing, when paused or only recommending', () => {
    const paused = decideOn({ lag: 600, busy: 1 }, LEARNED, {}, true);
    expect(paused.decision.acts).toEqual({ replicas: false, shards: false });
    expect(paused.decision.replicas.desired).toBe(4);
    expect(paused.decision.sentence).toMatch(/^Paused, so nothing is changed. Otherwise: Scales out/);
    expect(decideOn({}, {}, { mode: 'Recommend' }).decision.acts).toEqual({ replicas: false, shards: false });
    expect(decideOn({}, {}, { mode: 'ReplicasOnly' }).decision.acts).toEqual({
      replicas: true,
      shards: false,
    });
  });

  it('is not kept up by a blind look in each window, and does not go in at one', () => {
    let memory = emptyMemory();
    const down: number[] = [];
    for (let tick = 0; tick < 40 && down.length === 0; tick++) {
      const blind = tick % 8 === 5;
      const load = { at: START + tick * TICK, arrival: 600, replicas: 4, busy: 0.15 };
      const result = decideOn({ ...load, lag: blind ? undefined : 0 }, { ...LEARNED, ...memory });
      ({ memory } = result);
      expect(result.decision.blind).toBe(blind);
      if (result.decision.replicas.desired < 4) down.push(tick);
      if (blind) expect(result.decision.replicas.desired).toBe(4);
    }
    expect(down).toEqual([20]);
    // No controller for an hour: what was needed before says nothing of now.
    const late = decideOn(
      { at: START + 3_600_000, arrival: 600, replicas: 4, busy: 0.15 },
      {
        ...LEARNED,
        replicaPeaks: [{ at: START, value: 1 }],
      },
    );
    expect(late.decision.replicas).toMatchObject({ desired: 4, reason: 'Stabilizing' });
  });

  it('is not cut below what is there by a policy that was used up', () => {
    const rose = { ...LEARNED, scaleEvents: [{ at: START - 30_000, from: 1, to: 8 }] };
    const load = { lag: 600, arrival: 8_000, shards: 10, replicas: 8, busy: 1 };
    const policies = [{ type: 'Pods' as const, value: 3, periodSeconds: 60 }];
    expect(decideOn(load, rose, { behavior: { scaleUp: { policies } } }).decision.replicas.desired).toBe(8);
  });

  it('keeps one pod while records wait, although nothing comes any more', () => {
    const zero = { replicas: { min: 0, max: 20 } };
    const quiet = { ...LEARNED, replicaPeaks: [{ at: START - 10, value: 0 }] };
    const { decision } = decideOn({ replicas: 2, arrival: 0, processed: 1, lag: 50, busy: 0 }, quiet, zero);
    expect(decision.replicas).toMatchObject({ needed: 1, desired: 1 });
  });

  it('does not go below what was tried and was too little', () => {
    const tried = {
      ...LEARNED,
      replicaPeaks: [{ at: START - 10, value: 1 }],
      floor: { replicas: 3, until: START + 1 },
    };
    expect(decideOn({ arrival: 100, replicas: 4, busy: 0.1 }, tried).decision.replicas.desired).toBe(3);
  });

  it('has pods for the children of a lineage before they may be read', () => {
    const children = (shards: ShardObservation[]) =>
      shards.map((shard, i) =>
        i === 0
          ? { ...shard, open: false, arrival: { records: 10, bytes: 10 } }
          : { ...shard, startable: false, arrival: { records: 900, bytes: 900 } },
      );
    const { decision } = decideOn({ shards: 5, replicas: 1, busy: 1, change: children }, LEARNED);
    expect(decision.replicas.needed).toBe(4);
  });

  it('learns from no pod that got nothing done yet', () => {
    const silent = decideOn({ arrival: 1_000, processed: 0, lag: 10, busy: 1 });
    expect(silent.memory.podRate).toBeUndefined();
    expect(decideOn({ arrival: 1_000, processed: 0, lag: 10, busy: 1 }, LEARNED).memory.podRate).toBe(600);
  });
});
