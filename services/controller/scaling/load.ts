import type { Memory } from './memory.ts';
import { rangeShare, type ShardObservation, type Throughput } from './observation.ts';
import type { ScalingSpec } from './spec.ts';

type Objective = ScalingSpec['objective'];

/**
 * The rate at which a part of the stream must be processed so that its backlog is gone after the catch-up time while
 * new records come in, with the reserve that `utilization` asks for.
 *
 * `arrival × (1/utilization + lag/catchUp + restart/catchUp)`: the model of Flink's autoscaler (FLIP-271), with the
 * backlog counted in seconds of arrival. The restart term is what piles up while new pods start.
 */
export function requiredRate(
  arrival: number,
  lagSeconds: number,
  objective: Objective,
  restartSeconds: number,
): number {
  const { utilization, catchUpSeconds } = objective;
  return arrival * (1 / utilization + (lagSeconds + restartSeconds) / catchUpSeconds);
}

/**
 * What comes into a shard: as observed, else its share, by hash range, of what the stream last was known to get.
 * `undefined` when neither is known.
 */
export function arrivalOf(shard: ShardObservation, memory: Memory): Throughput | undefined {
  if (shard.arrival) return shard.arrival;
  if (!memory.arrival) return undefined;
  return scaled(memory.arrival, rangeShare(shard.hashKeyRange));
}

function scaled({ records, puts, bytes }: Throughput, factor: number): Throughput {
  return {
    records: records * factor,
    bytes: bytes * factor,
    ...(puts === undefined ? {} : { puts: puts * factor }),
  };
}

/**
 * Load of the busiest pod when each has at most `shards` of the shards: the heaviest shard and the average of the
 * others.
 *
 * @param loads required rate of each shard, at least one.
 */
export function busiestPod(loads: readonly number[], shards: number): number {
  const heaviest = Math.max(...loads);
  if (loads.length === 1) return heaviest;
  const others = (loads.reduce((sum, load) => sum + load, 0) - heaviest) / (loads.length - 1);
  return heaviest + (Math.min(shards, loads.length) - 1) * others;
}

/** Shards of the pod that has the most, when they are dealt out evenly. More pods than shards do nothing. */
export function shardsPerPod(shards: number, replicas: number): number {
  return Math.ceil(shards / Math.max(1, replicas));
}

/** The smallest number of pods whose busiest one is up to its load; a pod a shard when even that isn't enough. */
export function podsFor(loads: readonly number[], podRate: number): number {
  if (loads.length === 0 || loads.every((load) => load === 0)) return 0;
  let low = 1;
  let high = loads.length;
  // The busiest pod's load falls as pods grow, so the smallest sufficient number can be searched by halves.
  while (low < high) {
    const middle = (low + high) >> 1;
    if (busiestPod(loads, shardsPerPod(loads.length, middle)) <= podRate) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Of a pod that is less full, a good part of it are its renewals and polls. */
const LEAST_LOAD = 0.1;

/** What one pod gets done a second when it is used to the full. */
export interface PodRate {
  records: number;
  /** The pods had so little to do that they can do more than this, maybe much more. */
  atLeast: boolean;
}

/**
 * What one pod gets done when it is used to the full, by what the pods did and how full they were; `undefined` when that can't be
 * told. Of a consumer that tells no utilization it is by how busy the shards were: too little as long as these wait for
 * the table most of the time, as they do with a few records at once.
 */
export function truePodRate(shards: readonly ShardObservation[]): PodRate | undefined {
  const pods = new Map<string, { processed: number; busy: number; utilization: number | undefined }>();
  for (const { owner, processed, busyShare, workerUtilization } of shards) {
    if (owner === undefined || processed === undefined || busyShare === undefined) continue;
    const pod = pods.get(owner) ?? { processed: 0, busy: 0, utilization: undefined };
    pods.set(owner, {
      processed: pod.processed + processed.records,
      busy: pod.busy + busyShare,
      // Of its event loop all shards tell the same; of its shards the fullest is full first.
      utilization:
        workerUtilization === undefined ? pod.utilization : Math.max(pod.utilization ?? 0, workerUtilization),
    });
  }
  const loads = Array.from(pods.values(), ({ processed, busy, utilization }) => ({
    processed,
    // Shards of a pod overlap while they wait for I/O; counting that as busy errs towards a slower pod.
    load: utilization ?? Math.min(1, busy),
    told: utilization !== undefined,
  }));
  const full = loads.filter(({ load }) => load >= LEAST_LOAD);
  if (full.length > 0) return { records: rateOf(full), atLeast: false };
  const light = loads.filter(({ processed, load, told }) => told && processed > 0 && load > 0);
  return light.length > 0 ? { records: rateOf(light), atLeast: true } : undefined;
}

function rateOf(pods: readonly { processed: number; load: number }[]): number {
  const sum = (of: (pod: { processed: number; load: number }) => number) =>
    pods.reduce((total, pod) => total + of(pod), 0);
  return sum(({ processed }) => processed) / sum(({ load }) => load);
}
