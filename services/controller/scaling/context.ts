import type { Memory } from './memory.ts';
import type { Observation, ShardObservation, Throughput } from './observation.ts';
import type { ScalingSettings, ScalingSpec } from './spec.ts';

/** What a decision starts from. */
export interface DecisionInput {
  observation: Observation;
  spec: ScalingSpec;
  /** The pause annotation is set: decide and explain, but don't act. */
  paused: boolean;
  memory: Memory;
  settings?: Readonly<ScalingSettings>;
}

/** What both halves of a decision look at, worked out once. */
export interface Context {
  at: number;
  spec: ScalingSpec;
  settings: Readonly<ScalingSettings>;
  /** Bounds and rules of the shards, with their defaults. */
  reshard: { min: number; max: number; windowSeconds: number; reservedCalls: number };
  shards: readonly ShardObservation[];
  /** Arrival at each shard, in order of `shards`; `undefined` when it isn't known for every one. */
  arrivals: readonly Throughput[] | undefined;
  /** Lag of each shard, 0 where it isn't known. */
  lags: readonly number[];
  maxLagSeconds: number | undefined;
  /** A closed shard isn't finished yet. */
  draining: boolean;
  /** Something isn't known that scaling in must know. */
  blind: boolean;
  problems: readonly string[];
}
