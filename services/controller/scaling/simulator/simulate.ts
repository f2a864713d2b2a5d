import { PRICES } from '../../../shared/prices.ts';
import type { ScalingSpec } from '../spec.ts';
import { type GroupOptions, SimGroup, type Work } from './group.ts';
import type { Policy } from './policy.ts';
import { type SimShard, SimStream, type StreamOptions } from './stream.ts';
import type { Trace } from './trace.ts';

const TICK_SECONDS = 15;

/** The system that is simulated; the same for every policy. */
export interface World {
  stream: StreamOptions;
  group: GroupOptions;
  bytesPerRecord: number;
  /** Prices in USD. */
  podHour: number;
  shardHour: number;
}

export const DEFAULT_WORLD: World = {
  stream: { shardRate: 1_000, updateSeconds: 60, splitSeconds: 30, hotKeyAt: 0.3 },
  group: { podRate: 2_500, shardReadRate: 6_000, startSeconds: 30, handoffSeconds: 2 },
  bytesPerRecord: 300,
  // One vCPU and 2 GiB, as Fargate sells them.
  podHour: PRICES.fargate.vcpuHour + 2 * PRICES.fargate.gibHour,
  shardHour: PRICES.kinesis.shardHour,
};

/** One moment of a run, for a plot. */
export interface Sample {
  t: number;
  offered: number;
  /** Age of the oldest event that isn't processed, from when it was sent. */
  ageSeconds: number;
  replicas: number;
  shards: number;
}

export interface Outcome {
  policy: string;
  /** Seconds in which the oldest event was older than the objective. */
  violationSeconds: number;
  worstLagSeconds: number;
  podHours: number;
  shardHours: number;
  dollars: number;
  reshards: number;
  /** Calls that AWS would have refused. */
  refused: number;
  /** Changes of replicas, and those against the last one's direction within 10 min. */
  changes: number;
  flaps: number;
  /** Records sent, and those that were not processed when it ended. */
  records: number;
  unprocessed: number;
  samples: Sample[];
  log: { t: number; sentence: string }[];
}

/** Runs one policy through one trace, second by second. Deterministic. */
export function simulate(
  trace: Trace,
  policy: Policy,
  start: { replicas: number; shards: number },
  spec: ScalingSpec,
  world: World,
): Outcome {
  const stream = new SimStream(world.stream, start.shards);
  const group = new SimGroup(world.group, start.replicas);
  const sampleEvery = Math.max(TICK_SECONDS, Math.ceil(trace.seconds / 600 / TICK_SECONDS) * TICK_SECONDS);
  const outcome: Outcome = {
    policy: policy.name,
    violationSeconds: 0,
    worstLagSeconds: 0,
    podHours: 0,
    shardHours: 0,
    dollars: 0,
    reshards: 0,
    refused: 0,
    changes: 0,
    flaps: 0,
    records: 0,
    unprocessed: 0,
    samples: [],
    log: [],
  };
  let work = new Map<SimShard, Work>();
  let cpu = 0;
  let worstOfSample = 0;
  for (let t = 0; t < trace.seconds; t++) {
    const even = trace.offered(t);
    const hot = trace.hotKey?.(t) ?? 0;
    outcome.records += even + hot;
    stream.settle(t);
    stream.produce(t, even, hot);
    group.step(t, stream, trace.podSpeed?.(t) ?? 1, trace.sinkLimit?.(t) ?? Number.POSITIVE_INFINITY);
    add(work, group.work);
    cpu += group.cpu / TICK_SECONDS;
    const age = oldest(stream, t);
    worstOfSample = Math.max(worstOfSample, age);
    if (age > spec.objective.maxLagSeconds) outcome.violationSeconds++;
    outcome.worstLagSeconds = Math.max(outcome.worstLagSeconds, age);
    outcome.podHours += group.replicas / 3_600;
    outcome.shardHours += stream.open.length / 3_600;
    if (t % sampleEvery === 0) {
      const [replicas, shards] = [group.replicas, stream.open.length];
      outcome.samples.push({ t, offered: even + hot, ageSeconds: worstOfSample, replicas, shards });
      worstOfSample = 0;
    }
    if (t % TICK_SECONDS !== 0) continue;
    const seconds = t === 0 ? 1 : TICK_SECONDS;
    for (const one of work.values()) {
      one.processed /= seconds;
      one.busy = Math.min(1, one.busy / seconds);
    }
    const step = policy.tick({ t, stream, group, work, cpu, blackout: trace.blackout?.(t) ?? false });
    const acts = step.reshard !== undefined || (step.replicas ?? group.replicas) !== group.replicas;
    if (acts && step.sentence) outcome.log.push({ t, sentence: step.sentence });
    if (step.replicas !== undefined) group.scale(step.replicas, t);
    if (step.reshard) stream.reshard(step.reshard, t);
    work = new Map();
    cpu = 0;
  }
  outcome.dollars = outcome.podHours * world.podHour + outcome.shardHours * world.shardHour;
  outcome.unprocessed = stream.shards.reduce(
    (n, { queue, waiting }) => n + queue.records + waiting.records,
    0,
  );
  return {
    ...outcome,
    reshards: stream.reshards,
    refused: stream.refused,
    changes: group.changes,
    flaps: group.flaps,
  };
}

function add(total: Map<SimShard, Work>, second: ReadonlyMap<SimShard, Work>): void {
  for (const [shard, { pod, processed, busy }] of second) {
    const sum = total.get(shard);
    if (!sum) total.set(shard, { pod, processed, busy });
    else {
      sum.pod = pod;
      sum.processed += processed;
      sum.busy += busy;
    }
  }
}

function oldest(stream: SimStream, t: number): number {
  let sentAt = t;
  for (const { queue, waiting } of stream.shards)
    sentAt = Math.min(sentAt, queue.head?.sentAt ?? t, waiting.head?.sentAt ?? t);
  return t - sentAt;
}
