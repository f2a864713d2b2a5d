import { describe, expect, it } from 'vitest';
import { DAY, decideOn, LEARNED, START, TICK } from './fixtures.ts';
import { usedCalls } from './ledger.ts';
import { emptyMemory, type Memory } from './memory.ts';
import { HASH_KEYS, type ShardObservation } from './observation.ts';

describe('shards', () => {
  it('goes up when producers fill them, in steps of a quarter', () => {
    const { decision, memory } = decideOn({ shards: 4, arrival: 3_500, replicas: 4, busy: 0.875 }, LEARNED);
    expect(decision.shards).toMatchObject({
      desired: 5,
      reason: 'WriteSaturated',
      step: { kind: 'update-shard-count', target: 5 },
      sentence: 'Goes from 4 to 5 shards: producers use 88 % of what 4 shards take.',
    });
    expect(memory.ledger).toEqual([
      { at: START, operation: 'UpdateShardCount', from: 4, to: 5, outcome: 'Pending' },
    ]);
  });

  it('waits for a second look, which may see all of a jump, and for the effect of the last change', () => {
    const load = { shards: 4, arrival: 3_500, replicas: 4, busy: 0.875 };
    const first = decideOn(load, { ...LEARNED, growthSince: undefined });
    expect(first.decision.shards).toMatchObject({ step: undefined, reason: 'Stabilizing' });
    const second = decideOn({ ...load, at: START + TICK, arrival: 3_990 }, first.memory);
    expect(second.decision.shards.desired).toBe(8);
    const fresh = { ...LEARNED, openShards: 4, reshardedAt: START - 30_000 };
    expect(decideOn(load, fresh).decision.shards.reason).toBe('Stabilizing');
  });

  it('takes a full stream less seriously while what was refused before a change comes in', () => {
    const load = { shards: 8, arrival: 7_990, replicas: 8, busy: 0.99 };
    const long = { openShards: 8, reshardedAt: START - 70_000, saturatedSince: START - 370_000 };
    expect(decideOn(load, { ...LEARNED, ...long }).decision.shards.desired).toBe(12);
    const short = { ...long, saturatedSince: START - 130_000 };
    expect(decideOn(load, { ...LEARNED, ...short }).decision.shards.desired).toBe(16);
  });

  it('takes larger steps while the load goes on growing', () => {
    const ups = [1, 2].map((n) => ({
      at: START - n * 1_000_000,
      operation: 'UpdateShardCount' as const,
      from: n,
      to: n + 1,
      outcome: 'Accepted' as const,
    }));
    const load = { shards: 8, arrival: 6_900, replicas: 8, busy: 0.87 };
    expect(decideOn(load, LEARNED).decision.shards.desired).toBe(10);
    expect(decideOn(load, { ...LEARNED, ledger: ups }).decision.shards.desired).toBe(16);
  });

  it('counts what producers are refused as sent, twice as much at most, and not what was before the last change', () => {
    const load = { shards: 8, arrival: 5_000, replicas: 8, busy: 0.625 };
    const refused = (share: number) => ({ ...load, throttled: { from: START - 120_000, share } });
    const { decision } = decideOn(refused(0.3), LEARNED);
    expect(decision.shards).toMatchObject({
      needed: 9,
      desired: 10,
      reason: 'WriteSaturated',
      sentence:
        'Goes from 8 to 10 shards: producers use only 63 % of what 8 shards take, but 30 % of what they sent was refused.',
    });
    expect(decideOn(refused(0.99), LEARNED).decision.shards.needed).toBe(13);
    expect(decideOn(refused(0.01), LEARNED).decision.shards.step).toBeUndefined();
    const since = (reshardedAt: number) => ({ ...LEARNED, openShards: 8, reshardedAt });
    expect(decideOn(refused(0.3), since(START - 90_000)).decision.shards.step).toBeUndefined();
    expect(decideOn(refused(0.3), since(START - 150_000)).decision.shards.desired).toBe(10);
  });

  it('doubles when they are full, for nobody knows what is refused', () => {
    const { decision } = decideOn({ shards: 4, arrival: 3_950, replicas: 4, busy: 0.99 }, LEARNED);
    expect(decision.shards.desired).toBe(8);
  });

  it('counts an aggregate once, as the write limit of a shard does', () => {
    const aggregated = (puts: number) => (shards: ShardObservation[]) =>
      shards.map((s) => ({ ...s, arrival: { records: 5_000, puts, bytes: 500_000 } }));
    const load = { replicas: 4, arrival: 20_000, busy: 0.6 };
    const rich = { ...LEARNED, podRate: 9_000, normalPodRate: 9_000 };
    expect(decideOn({ ...load, change: aggregated(50) }, rich).decision.shards).toMatchObject({
      desired: 4,
      step: undefined,
    });
    expect(decideOn({ ...load, change: aggregated(900) }, rich).decision.shards).toMatchObject({
      desired: 5,
      reason: 'WriteSaturated',
    });
  });

  it('goes up when one pod can not carry one shard, and not for a backlog', () => {
    const slow = { ...LEARNED, podRate: 200, normalPodRate: 200 };
    const { decision } = decideOn({ shards: 2, arrival: 400, replicas: 2, busy: 1 }, slow);
    expect(decision.shards).toMatchObject({ desired: 3, reason: 'ShardTooBusyForPod' });
    const behind = decideOn({ shards: 2, arrival: 400, replicas: 2, busy: 0.2, lag: 3_000 }, LEARNED);
    expect(behind.decision.shards).toMatchObject({ desired: 2, step: undefined });
  });

  it('makes the call that it had decided on before a crash once more, without counting it twice', () => {
    const load = { shards: 4, arrival: 3_500, replicas: 4, busy: 0.875 };
    const first = decideOn(load, LEARNED);
    const again = decideOn({ ...load, at: START + TICK, arrival: 3_700 }, first.memory);
    expect(again.decision.shards.step).toEqual({ kind: 'update-shard-count', target: 5 });
    expect(again.memory.ledger).toHaveLength(1);
    const updating = decideOn({ ...load, at: START + TICK, status: 'UPDATING' }, first.memory);
    expect(updating.memory.ledger).toMatchObject([{ outcome: 'Accepted' }]);
    expect(updating.decision.shards).toMatchObject({ step: undefined, reason: 'StreamUpdating' });
    const done = decideOn({ ...load, at: START + TICK, shards: 5 }, first.memory);
    expect(done.memory.ledger).toMatchObject([{ outcome: 'Accepted' }]);
  });

  it("counts somebody else's call, and believes AWS that the budget is spent", () => {
    const { memory } = decideOn({ shards: 4 }, LEARNED);
    expect(decideOn({ at: START + TICK, shards: 6 }, memory).memory.ledger).toEqual([
      { at: START + TICK, operation: 'UpdateShardCount', from: 4, to: 6, outcome: 'Accepted' },
    ]);
    const spent = { ...LEARNED, budgetSpentUntil: START + DAY };
    const { decision } = decideOn({ shards: 4, arrival: 3_500, replicas: 4, busy: 0.875 }, spent);
    expect(decision.shards.step?.kind).toBe('split-shard');
  });

  it('goes down after an hour in which less was enough, by merges when only the reserve is left', () => {
    const idle = { ...LEARNED, shardPeaks: [{ at: START - 60_000, value: 2 }] };
    const { decision } = decideOn({ shards: 4, arrival: 100, replicas: 1, busy: 0.1 }, idle);
    expect(decision.shards).toMatchObject({ desired: 2, reason: 'LoadFell' });
    const used = Array.from({ length: 6 }, (_, i) => ({
      at: START - i - 1,
      operation: 'UpdateShardCount' as const,
      from: 4,
      to: 4,
      outcome: 'Accepted' as const,
    }));
    const reserved = decideOn({ shards: 4, arrival: 100, busy: 0.1 }, { ...idle, ledger: used });
    // MergeShards isn't counted by AWS.
    expect(reserved.decision.shards).toMatchObject({ step: { kind: 'merge-shards' }, reason: 'ColdShards' });
    expect(decideOn({ shards: 4, arrival: 100, busy: 0.1 }, LEARNED).decision.shards.desired).toBe(4);
    const behind = decideOn({ shards: 4, arrival: 100, busy: 0.1, lag: 100 }, idle);
    expect(behind.decision.shards.desired).toBe(4);
  });

  it('splits a hot shard by itself, merges cold neighbours when halving would make one too hot', () => {
    const hot = (shards: ShardObservation[]) =>
      shards.map((s, i) => ({ ...s, arrival: { records: i === 2 ? 930 : 10, bytes: 1_000 } }));
    const split = decideOn({ replicas: 4, change: hot }, LEARNED);
    expect(split.decision.shards.step).toEqual({
      kind: 'split-shard',
      shardId: 'shardId-000000000002',
      newStartingHashKey: (((HASH_KEYS * 5n) / 8n) as bigint).toString(),
    });
    const warm = (shards: ShardObservation[]) =>
      shards.map((s, i) => ({
        ...s,
        arrival: { records: i === 2 ? 790 : i === 3 ? 300 : 10, bytes: 1_000 },
      }));
    const cold = { ...LEARNED, shardPeaks: [{ at: START - 60_000, value: 2 }] };
    const merge = decideOn({ replicas: 4, change: warm }, cold);
    expect(merge.decision.shards.step).toEqual({
      kind: 'merge-shards',
      shardId: 'shardId-000000000000',
      adjacentShardId: 'shardId-000000000001',
    });
    expect(usedCalls(merge.memory, START)).toBe(0);
    expect(merge.memory.ledger).toMatchObject([
      { operation: 'MergeShards', from: 4, to: 3, outcome: 'Pending' },
    ]);
  });

  it('does not split a shard so narrow that one key must fill it', () => {
    const narrow = (shards: ShardObservation[]) =>
      shards.map((s, i) =>
        i === 0
          ? {
              ...s,
              hashKeyRange: { starting: '0', ending: '99999' },
              arrival: { records: 990, bytes: 1_000 },
            }
          : { ...s, arrival: { records: 10, bytes: 1_000 } },
      );
    const { decision } = decideOn({ replicas: 4, change: narrow }, LEARNED);
    expect(decision.shards).toMatchObject({ step: undefined, reason: 'HotShard' });
  });

  it('does not go down while blind, whatever is remembered, and goes up for what it does see', () => {
    const oneUnknown = (shards: ShardObservation[]) =>
      shards.map((shard, i) => (i === 3 ? { ...shard, lagSeconds: undefined } : shard));
    const idle = { ...LEARNED, shardPeaks: [{ at: START - 60_000, value: 2 }] };
    const down = decideOn({ arrival: 100, busy: 0.1, change: oneUnknown }, idle);
    expect(down.decision.shards).toMatchObject({ desired: 4, step: undefined, reason: 'NoData' });
    const up = decideOn({ arrival: 3_500, replicas: 4, busy: 0.875, change: oneUnknown }, LEARNED);
    expect(up.decision).toMatchObject({ blind: true, shards: { desired: 5 } });
  });

  /** Looks at a load for which two of four shards are plenty. @returns minutes until they go down, at most 200. */
  function minutesToDown(
    lookAt: (minute: number) => boolean,
    unknown: (minute: number) => boolean = () => false,
  ) {
    let memory: Memory = { ...emptyMemory(), ...LEARNED };
    for (let tick = 0; tick < 800; tick++) {
      const minute = tick / 4;
      if (!lookAt(minute)) continue;
      const change = (shards: ShardObservation[]) =>
        shards.map((shard, i) => (i === 3 && unknown(minute) ? { ...shard, lagSeconds: undefined } : shard));
      const load = { at: START + tick * TICK, arrival: 100, busy: 0.1, change };
      const result = decideOn(load, memory);
      ({ memory } = result);
      if (result.decision.shards.step) return minute;
    }
    return 200;
  }
  const always = () => true;

  it('is not kept up by a blind look now and then', () => {
    expect(minutesToDown(always)).toBe(60);
    expect(minutesToDown(always, (minute) => minute % 20 === 0)).toBeLessThanOrEqual(61);
  });

  it('goes down by an hour that was seen: missing data and a missing controller stop the clock', () => {
    const dark = (minute: number) => minute > 40 && minute < 90;
    // A look tells of a fifth of the window at most: 12 min of the 50 count.
    expect(minutesToDown(always, dark)).toBe(98);
    expect(minutesToDown((minute) => !dark(minute))).toBe(98);
    // What was before so long a time says nothing of now.
    expect(minutesToDown((minute) => minute < 50 || minute > 122)).toBeGreaterThan(174);
  });

  const calls = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      at: START - i - 1,
      operation: 'UpdateShardCount' as const,
      from: 4,
      to: 4,
      outcome: 'Accepted' as const,
    }));
  const RICH = { ...LEARNED, podRate: 2_000, normalPodRate: 2_000 };
  const enough = (value: number) => ({ ...LEARNED, shardPeaks: [{ at: START - 60_000, value }] });

  it('leaves a small deviation alone, of what is written and of what pods can read', () => {
    const written = decideOn({ shards: 4, arrival: 3_300, replicas: 4, busy: 0.4 }, RICH).decision.shards;
    expect(written).toMatchObject({ needed: 4, reason: 'OnTarget' });
    // 1,470 / 0.7 are 2.1 pods' worth.
    const read = decideOn({ shards: 2, arrival: 1_470, replicas: 2, busy: 0.735 }, LEARNED).decision.shards;
    expect(read).toMatchObject({ needed: 2, step: undefined });
  });

  it('grows beside a lineage that drains only for producers', () => {
    const draining = (shards: ShardObservation[]) =>
      shards.map((shard, i) => (i === 0 ? { ...shard, open: false } : shard));
    const full = { shards: 5, arrival: 4_400, replicas: 5, busy: 0.9, change: draining };
    expect(decideOn({ ...full, busy: 0.5 }, RICH).decision.shards).toMatchObject({
      desired: 5,
      reason: 'WriteSaturated',
    });
    const slow = { ...LEARNED, podRate: 200, normalPodRate: 200 };
    const busy = decideOn({ ...full, arrival: 1_200, busy: 1 }, slow).decision.shards;
    expect(busy).toMatchObject({ step: undefined, reason: 'LineageDraining' });
  });

  it('splits a hot shard at once, even after another change', () => {
    const hot = (shards: ShardObservation[]) =>
      shards.map((s, i) => ({ ...s, arrival: { records: i === 2 ? 930 : 10, bytes: 1_000 } }));
    const fresh = { ...LEARNED, openShards: 4, reshardedAt: START - 20_000 };
    expect(decideOn({ replicas: 4, change: hot }, fresh).decision.shards.step?.kind).toBe('split-shard');
  });

  it('remembers since when shards are full, although new ones show nothing at first', () => {
    const since = { ...LEARNED, saturatedSince: START - 100_000, openShards: 4 };
    const load = { arrival: 100, busy: 0.1 };
    const fresh = decideOn(load, { ...since, reshardedAt: START - 30_000 });
    expect(fresh.memory.saturatedSince).toBe(START - 100_000);
    expect(decideOn({ ...load, status: 'UPDATING' }, since).memory.saturatedSince).toBe(START - 100_000);
    expect(decideOn(load, since).memory.saturatedSince).toBeUndefined();
  });

  it('does not merge for little, nor into a shard that is half full, nor beyond what a pod can read', () => {
    const sixth = decideOn({ shards: 6, arrival: 100, busy: 0.1 }, enough(5)).decision.shards;
    expect(sixth).toMatchObject({ step: undefined, reason: 'Stabilizing' });
    const fifth = decideOn({ shards: 5, arrival: 100, busy: 0.1 }, enough(4)).decision.shards;
    expect(fifth.step?.kind).toBe('merge-shards');
    const spent = { ledger: calls(6) };
    const half = decideOn({ arrival: 1_000, replicas: 4, busy: 0.25 }, { ...enough(2), ...spent });
    expect(half.decision.shards).toMatchObject({ step: undefined, reason: 'Stabilizing' });
    const less = decideOn({ arrival: 700, replicas: 4, busy: 0.175 }, { ...enough(2), ...spent });
    expect(less.decision.shards.step?.kind).toBe('merge-shards');
    const slow = { podRate: 400, normalPodRate: 1_000 };
    const unread = decideOn({ arrival: 700, replicas: 4, busy: 0 }, { ...enough(2), ...spent, ...slow });
    expect(unread.decision.shards.step).toBeUndefined();
  });

  it('says that the calls are spent where a split by itself can do no more', () => {
    const narrow = (shards: ShardObservation[]) =>
      shards.map((s, i) => (i === 0 ? { ...s, hashKeyRange: { starting: '0', ending: '99' } } : s));
    const full = (shards: ShardObservation[]) =>
      narrow(shards).map((s, i) => ({ ...s, arrival: { records: i === 0 ? 990 : 850, bytes: 1_000 } }));
    const spent = { ...LEARNED, ledger: calls(10) };
    const { decision } = decideOn({ replicas: 4, busy: 0.9, change: full }, spent);
    expect(decision.shards).toMatchObject({ step: undefined, reason: 'BudgetSpent' });
    expect(decision.shards.sentence).toContain('10 of 10 UpdateShardCount calls of 24 h are used');
  });
});
