import { describe, expect, it } from 'vitest';
import { HASH_KEYS } from '../observation.ts';
import { compare, DEFAULT_SPEC, standing } from './compare.ts';
import { SimGroup } from './group.ts';
import { optimum } from './optimum.ts';
import { Queue } from './queue.ts';
import { hpaCpuPolicy, kedaIteratorAgePolicy, kedaKinesisPolicy, staticPolicy } from './rivals.ts';
import { DEFAULT_WORLD, type Outcome, simulate } from './simulate.ts';
import { SimStream } from './stream.ts';
import { TRACES, type Trace, traceOfPoints } from './trace.ts';
import { weirPolicy } from './weir.ts';

const OPTIONS = { ...DEFAULT_WORLD.stream, hotKeyAt: 0.3 };
const flat = (rate: number, seconds = 600): Trace => ({
  name: 'flat',
  description: '',
  seconds,
  offered: () => rate,
});
const run = (trace: Trace, replicas: number, shards: number) =>
  simulate(trace, staticPolicy(replicas), { replicas, shards }, DEFAULT_SPEC, DEFAULT_WORLD);
const traceNamed = (name: string) => TRACES.find((trace) => trace.name === name)!;

describe('the world', () => {
  it('keeps records in order and loses none, however they are taken', () => {
    const queue = new Queue();
    for (let t = 0; t < 100; t++) queue.push({ sentAt: t, acceptedAt: t, even: 7, hot: 3 });
    const taken = [0.5, 9.5, 333, 1e9].flatMap((amount) => queue.take(amount));
    expect(taken.reduce((sum, { even, hot }) => sum + even + hot, 0)).toBeCloseTo(1_000);
    expect(taken.map(({ sentAt }) => sentAt)).toEqual(
      taken.map(({ sentAt }) => sentAt).sort((a, b) => a - b),
    );
    expect(queue.records).toBe(0);
    expect(queue.head).toBeUndefined();
  });

  it('is behind by nothing while pods and shards are enough, and by what is missing when they are not', () => {
    expect(run(flat(1_900), 1, 2)).toMatchObject({ violationSeconds: 0, worstLagSeconds: 0, unprocessed: 0 });
    const slow = run(flat(3_000), 1, 4);
    // 500 of 3,000 a second are left: the lag grows by a sixth of a second each second.
    expect(slow.worstLagSeconds).toBeCloseTo(100, -1);
    expect(slow.unprocessed).toBeCloseTo(600 * 500, -4);
    const refused = run(flat(3_000), 2, 2);
    expect(refused.unprocessed).toBeCloseTo(600 * 1_000, -4);
  });

  it('lets a reshard keep each record, its order and the lineage', () => {
    const stream = new SimStream(OPTIONS, 2);
    for (let t = 0; t < 10; t++) stream.produce(t, 4_000, 0);
    stream.reshard({ kind: 'update-shard-count', target: 3 }, 10);
    expect(stream.status).toBe('UPDATING');
    stream.settle(10 + OPTIONS.updateSeconds);
    expect(stream.open).toHaveLength(3);
    expect(stream.shards.filter(({ open }) => !open)).toHaveLength(2);
    expect(stream.open.map(({ parents }) => parents.length)).toEqual([1, 2, 1]);
    const total = stream.shards.reduce((n, { queue, waiting }) => n + queue.records + waiting.records, 0);
    expect(total).toBeCloseTo(40_000);
    const group = new SimGroup(DEFAULT_WORLD.group, 1);
    for (let t = 71; t < 95; t++) {
      group.step(t, stream, 1, Number.POSITIVE_INFINITY);
      stream.settle(t);
    }
    expect(stream.shards.every(({ open }) => open)).toBe(true);
  });

  it("holds AWS's rules: one change at a time, at most double, ten calls in a day", () => {
    const stream = new SimStream(OPTIONS, 2);
    stream.reshard({ kind: 'update-shard-count', target: 5 }, 0);
    expect(stream.refused).toBe(1);
    for (let call = 0; call < 11; call++) {
      stream.reshard({ kind: 'update-shard-count', target: call % 2 === 0 ? 3 : 2 }, call * 100);
      stream.settle(call * 100 + 99);
    }
    expect(stream).toMatchObject({ refused: 2, reshards: 10 });
    stream.reshard(
      { kind: 'split-shard', shardId: stream.open[0]!.id, newStartingHashKey: (HASH_KEYS / 8n).toString() },
      5_000,
    );
    stream.settle(5_099);
    expect(stream.open).toHaveLength(3);
  });

  it('puts a hot key into one shard', () => {
    const stream = new SimStream(OPTIONS, 4);
    stream.produce(0, 400, 500);
    expect(stream.open.map(({ queue }) => queue.records)).toEqual([100, 600, 100, 100]);
  });
});

describe('policies', () => {
  it('do the same each time', () => {
    const once = () => {
      const policy = weirPolicy(DEFAULT_SPEC, 300, 0);
      return simulate(traceNamed('spike'), policy, { replicas: 1, shards: 2 }, DEFAULT_SPEC, DEFAULT_WORLD);
    };
    expect(once()).toEqual(once());
  });

  it('follow their rules', () => {
    const bounds = { min: 1, max: 20 };
    const start = { replicas: 1, shards: 8 };
    const last = (policy: Parameters<typeof simulate>[1], rate: number) =>
      simulate(flat(rate), policy, start, DEFAULT_SPEC, DEFAULT_WORLD).samples.at(-1)?.replicas;
    expect(last(kedaKinesisPolicy(bounds, 2), 100)).toBe(4);
    // 5,000/s of 2,500 each at 70 %: three pods.
    expect(last(hpaCpuPolicy(bounds, 0.7), 5_000)).toBe(3);
    expect(last(kedaIteratorAgePolicy(bounds, 15), 5_000)).toBeGreaterThan(2);
    expect(last(staticPolicy(7), 5_000)).toBe(7);
  });

  it('stay where they are without metrics', () => {
    const dark: Trace = {
      ...flat(5_000, 1_200),
      blackout: (t) => t > 600,
      offered: (t) => (t < 600 ? 5_000 : 100),
    };
    const policies = [weirPolicy(DEFAULT_SPEC, 300, 0), hpaCpuPolicy({ min: 1, max: 20 }, 0.7)];
    for (const policy of policies) {
      const { samples } = simulate(dark, policy, { replicas: 3, shards: 7 }, DEFAULT_SPEC, DEFAULT_WORLD);
      expect(samples.at(-1)?.replicas).toBeGreaterThanOrEqual(3);
    }
  });
});

describe('the optimum', () => {
  it('is what can be worked out by hand for a constant load', () => {
    // 3,000/s: 4 shards at 80 %, two pods of 2,500 at 70 %, for an hour.
    const best = optimum(flat(3_000, 3_600), DEFAULT_SPEC, DEFAULT_WORLD, { podUse: 0.7, shardUse: 0.8 });
    expect(best).toMatchObject({ podHours: 2, shardHours: 4 });
    const full = optimum(flat(3_000, 3_600), DEFAULT_SPEC, DEFAULT_WORLD, { podUse: 1, shardUse: 1 });
    expect(full).toMatchObject({ podHours: 2, shardHours: 3 });
    const impossible = { ...DEFAULT_SPEC, shards: { min: 1, max: 2 } };
    expect(optimum(flat(3_000), impossible, DEFAULT_WORLD, { podUse: 1, shardUse: 1 })).toBeUndefined();
  });
});

describe('weir', () => {
  // What docs/explanation/scaling.md says; the diurnal trace takes too long for a test.
  const short = TRACES.filter(({ name }) =>
    ['spike', 'step', 'slow consumer', 'hot key', 'dead sink'].includes(name),
  );

  it.each(short)('on $name: no rival that others would choose beats it on the same stream', (trace) => {
    const { outcomes } = compare(trace, DEFAULT_SPEC, DEFAULT_WORLD);
    const [full, replicasOnly, , ...rivals] = outcomes as [Outcome, Outcome, Outcome, ...Outcome[]];
    for (const rival of rivals)
      expect(['better', 'as good', 'dearer']).toContain(standing(replicasOnly, rival));
    expect(full.refused).toBe(0);
    expect(full.flaps).toBeLessThanOrEqual(1);
    if (trace.name === 'hot key') expect(full.violationSeconds).toBe(0);
  });

  it('does without the counters of consumers, by lag alone', () => {
    const policy = () => weirPolicy({ ...DEFAULT_SPEC, mode: 'ReplicasOnly' }, 300, 0, { lagOnly: true });
    const start = { replicas: 1, shards: 6 };
    const step = simulate(traceNamed('step'), policy(), start, DEFAULT_SPEC, DEFAULT_WORLD);
    expect(step.violationSeconds).toBeLessThan(60);
    expect(step.reshards).toBe(0);
    expect(step.log.some(({ sentence }) => /% of what arrives are required/.test(sentence))).toBe(true);
    // On a load that stays it settles: too few pods are not tried again within the hour.
    const steady = simulate(
      flat(4_000, 7_200),
      policy(),
      { replicas: 4, shards: 6 },
      DEFAULT_SPEC,
      DEFAULT_WORLD,
    );
    expect(steady.violationSeconds).toBe(0);
    expect(steady.changes).toBeLessThanOrEqual(8);
  });

  it('takes points of a file as steps', () => {
    const trace = traceOfPoints('file', [
      { seconds: 1_000, rate: 5 },
      { seconds: 1_060, rate: 7 },
    ]);
    expect([
      trace.seconds,
      trace.offered(0),
      trace.offered(59),
      trace.offered(60),
      trace.offered(119),
    ]).toEqual([120, 5, 5, 7, 7]);
  });
});
