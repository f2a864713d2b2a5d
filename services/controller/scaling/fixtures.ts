import { decide } from './decide.ts';
import { emptyMemory, type Memory } from './memory.ts';
import { HASH_KEYS, type Observation, type ShardObservation, type WriteThrottle } from './observation.ts';
import type { ScalingSpec } from './spec.ts';

export const START = Date.UTC(2026, 0, 1);
export const TICK = 15_000;
export const DAY = 86_400_000;

export const SPEC: ScalingSpec = {
  replicas: { min: 1, max: 20 },
  shards: { min: 1, max: 20 },
  objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
  mode: 'Full',
};

export interface Load {
  at?: number;
  replicas?: number;
  ready?: number;
  shards?: number;
  /** Records a second, all shards. */
  arrival?: number;
  processed?: number;
  lag?: number | undefined;
  busy?: number;
  /** Of each pod; left out: the consumer doesn't tell. */
  utilization?: number;
  status?: string;
  throttled?: WriteThrottle;
  change?: (shards: ShardObservation[]) => ShardObservation[];
}

/** An evenly loaded stream. */
export function observe(load: Load = {}): Observation {
  const { at = START, replicas = 1, shards: count = 4, arrival = 1_000, status = 'ACTIVE' } = load;
  const { processed = arrival, ready = replicas, busy = 0.5 } = load;
  const lagSeconds = 'lag' in load ? load.lag : 0;
  const shards = Array.from({ length: count }, (_, i): ShardObservation => {
    const range = {
      starting: ((HASH_KEYS * BigInt(i)) / BigInt(count)).toString(),
      ending: ((HASH_KEYS * BigInt(i + 1)) / BigInt(count) - 1n).toString(),
    };
    const perPod = Math.ceil(count / Math.max(1, replicas));
    return {
      shardId: `shardId-${String(i).padStart(12, '0')}`,
      open: true,
      startable: true,
      hashKeyRange: range,
      lagSeconds,
      owner: replicas > 0 ? `pod-${Math.floor(i / perPod)}` : undefined,
      arrival: { records: arrival / count, bytes: (arrival / count) * 300 },
      processed: replicas > 0 ? { records: processed / count, bytes: (processed / count) * 300 } : undefined,
      busyShare: replicas > 0 ? busy / perPod : undefined,
      workerUtilization: replicas > 0 ? load.utilization : undefined,
    };
  });
  return {
    at,
    target: { replicas, ready },
    stream: {
      status,
      provisioned: true,
      shards: load.change ? load.change(shards) : shards,
      throttled: load.throttled,
    },
    problems: [],
  };
}

export function decideOn(
  load: Load,
  memory: Partial<Memory> = {},
  spec: Partial<ScalingSpec> = {},
  paused = false,
) {
  return decide({
    observation: observe(load),
    spec: { ...SPEC, ...spec },
    paused,
    memory: { ...emptyMemory(), ...memory },
  });
}

/** A pod does 1,000 records a second. */
export const LEARNED = { podRate: 1_000, normalPodRate: 1_000, growthSince: START - TICK };
