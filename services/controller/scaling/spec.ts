/** What the controller may do: recommend only, set replicas, or set replicas and shards. */
type ScalingMode = 'Recommend' | 'ReplicasOnly' | 'Full';

/** One limit on how fast replicas change: at most `value` pods, or percent of the pods, in a period. As HPA's. */
export interface ScalingPolicy {
  type: 'Pods' | 'Percent';
  value: number;
  periodSeconds: number;
}

/** Rules of one direction, in the words of the HorizontalPodAutoscaler (autoscaling/v2, `behavior`). */
export interface ScalingRules {
  /** Up: the lowest, down: the highest recommendation of this time counts. Defaults 0 s up, 300 s down. */
  stabilizationWindowSeconds?: number | undefined;
  /** Which policy counts when there are several; `Disabled` forbids the direction. Default `Max`. */
  selectPolicy?: 'Max' | 'Min' | 'Disabled' | undefined;
  /** None: no limit. */
  policies?: readonly ScalingPolicy[] | undefined;
  /** Relative deviation that is left alone. Default 0.1. */
  tolerance?: number | undefined;
}

/** The part of a StreamScaler's spec that a decision depends on. */
export interface ScalingSpec {
  replicas: { min: number; max: number };
  /** Left out: shards are not changed. */
  shards?: { min: number; max: number } | undefined;
  objective: {
    /** How far behind the consumers may be. */
    maxLagSeconds: number;
    /** In what time a backlog is to be worked off. */
    catchUpSeconds: number;
    /** Share of a pod's true rate that the arrival may use, 0-1. */
    utilization: number;
  };
  mode: ScalingMode;
  behavior?:
    | {
        scaleUp?: ScalingRules | undefined;
        scaleDown?: ScalingRules | undefined;
        reshard?:
          | {
              /** Shards go down by the maximum of this time. Default 3,600. */
              scaleDownWindowSeconds?: number | undefined;
              /** UpdateShardCount calls of the 10 in 24 h that are kept for scaling up. Default 4. */
              reservedCalls?: number | undefined;
            }
          | undefined;
      }
    | undefined;
}

/** What no user sets: properties of Kinesis and of the controller. */
export interface ScalingSettings {
  /** From one look to the next, in seconds. */
  tickSeconds: number;
  /** Records a second that a shard takes. */
  shardRecordsPerSecond: number;
  /** Bytes a second that a shard takes. */
  shardBytesPerSecond: number;
  /** Share of a shard's write limit that is planned with. */
  writeUtilization: number;
  /** From a change of replicas until the new pods work, in seconds. */
  restartSeconds: number;
  /** UpdateShardCount calls of a stream in 24 hours. */
  reshardCalls: number;
  /** How long new pods have until their effect is judged, in seconds from when all are ready. */
  trialSeconds: number;
  /** How long an ineffective scaling stops further steps, in seconds; then one more is tried. */
  ineffectiveHoldSeconds: number;
}

export const DEFAULT_SETTINGS: Readonly<ScalingSettings> = {
  tickSeconds: 15,
  shardRecordsPerSecond: 1_000,
  shardBytesPerSecond: 1_048_576,
  writeUtilization: 0.8,
  restartSeconds: 30,
  reshardCalls: 10,
  trialSeconds: 60,
  ineffectiveHoldSeconds: 900,
};
