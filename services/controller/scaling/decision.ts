import type { ReshardStep } from './reshard.ts';

/** Why, in one word for a condition, a metric label or an Event. */
export type Reason =
  | 'OnTarget'
  | 'LagTooHigh'
  | 'LoadGrew'
  | 'LoadFell'
  | 'WokeUp'
  | 'Idle'
  | 'WithinTolerance'
  | 'Stabilizing'
  | 'LimitedByBehavior'
  | 'LimitedByBounds'
  | 'RateUnknown'
  | 'NoData'
  | 'Paused'
  | 'Ineffective'
  | 'WriteSaturated'
  | 'ShardTooBusyForPod'
  | 'HotShard'
  | 'ColdShards'
  | 'NotProvisioned'
  | 'StreamUpdating'
  | 'LineageDraining'
  | 'BudgetSpent';

/** One half of a decision: what is, what should be, and why. */
export interface Verdict {
  current: number;
  /** What the controller sets, or would set when the mode allowed it. */
  desired: number;
  /** What the load alone asks for, before windows, limits and bounds; `undefined` when it can't be known. */
  needed: number | undefined;
  reason: Reason;
  /** A full sentence. */
  sentence: string;
}

/** The likely cause why more pods bring no more throughput. */
export interface Ineffective {
  cause: 'DeadSink' | 'HotShard' | 'Unknown';
  sentence: string;
}

export interface Decision {
  /** ms since the epoch. */
  at: number;
  replicas: Verdict;
  shards: Verdict & { step: ReshardStep | undefined };
  /** Whether mode and pause let the controller act on each half. */
  acts: { replicas: boolean; shards: boolean };
  lag: LagSummary;
  rates: Rates;
  /** Set while scaling is stopped because it doesn't help. */
  ineffective: Ineffective | undefined;
  /** Data was missing: the controller stays where it is. */
  blind: boolean;
  /** Both halves in one sentence or two. */
  sentence: string;
}

/** How far behind, over the shards that are known. Never a sum: lags of shards run side by side. */
export interface LagSummary {
  maxSeconds: number | undefined;
  medianSeconds: number | undefined;
  p90Seconds: number | undefined;
  /** The shard that is furthest behind. */
  worstShard: string | undefined;
  /** Shards whose lag isn't known. */
  unknownShards: number;
}

/** Records a second; `undefined` when not known. */
export interface Rates {
  arrival: number | undefined;
  processed: number | undefined;
  /** What the formula asks for. */
  required: number | undefined;
  /** What one pod can do when it is busy all the time. */
  pod: number | undefined;
  /** Whether this observation taught what a pod can do. */
  learned: boolean;
}
