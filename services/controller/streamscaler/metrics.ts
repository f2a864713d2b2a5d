import { Counter, Gauge, type Registry } from 'prom-client';
import type { StreamScaler, StreamScalerStatus } from '../../../cdk8s/crd/stream-scaler.ts';

export type ScalerMetrics = ReturnType<typeof createScalerMetrics>;

const GAUGES = {
  lag: ['weir_scaler_lag_seconds', 'How far the furthest shard is behind; absent while it is not known.'],
  arrival: ['weir_scaler_arrival_records_per_second', 'Records that arrive on the stream.'],
  processed: ['weir_scaler_processed_records_per_second', 'Records that the consumer group processes.'],
  required: ['weir_scaler_required_records_per_second', 'Rate that holds the objective.'],
  replicasCurrent: ['weir_scaler_replicas_current', 'Replicas that the target is set to.'],
  replicasDesired: ['weir_scaler_replicas_desired', 'Replicas that hold the objective, within the bounds.'],
  shardsOpen: ['weir_scaler_shards_open', 'Open shards of the stream.'],
  shardsDesired: ['weir_scaler_shards_desired', 'Open shards that hold the objective, within the bounds.'],
  reshardCallsUsed: [
    'weir_scaler_reshard_calls_used',
    'Calls of the last 24 h that count against the 10 of AWS.',
  ],
  ready: ['weir_scaler_ready', '1 when the condition Ready is True.'],
} as const;

type GaugeName = keyof typeof GAUGES;

/** Metrics of the StreamScalers. One series each for every object, which goes with the object. */
export function createScalerMetrics(registry: Registry) {
  const registers = [registry];
  const labelNames = ['namespace', 'scaler'] as const;
  const gauges = Object.fromEntries(
    Object.entries(GAUGES).map(([key, [name, help]]) => [
      key,
      new Gauge({ name, help, labelNames, registers }),
    ]),
  ) as Record<GaugeName, Gauge<'namespace' | 'scaler'>>;
  const decisions = new Counter({
    name: 'weir_scaler_decisions_total',
    help: 'Decisions by what they are about (replicas, shards) and why.',
    labelNames: ['subject', 'reason'],
    registers,
  });
  const actions = new Counter({
    name: 'weir_scaler_actions_total',
    help: 'What was done, by kind (scale, update-shard-count, split-shard, merge-shards) and outcome.',
    labelNames: ['action', 'outcome'],
    registers,
  });
  return {
    decisions,
    actions,
    /** Shows a status. */
    show({ metadata }: StreamScaler, status: StreamScalerStatus): void {
      const labels = { namespace: metadata.namespace, scaler: metadata.name };
      const values: Record<GaugeName, number | undefined> = {
        lag: status.lag?.maxSeconds,
        arrival: status.rates?.arrivalRecordsPerSecond,
        processed: status.rates?.processedRecordsPerSecond,
        required: status.rates?.requiredRecordsPerSecond,
        replicasCurrent: status.replicas?.current,
        replicasDesired: status.replicas?.desired,
        shardsOpen: status.shards?.open,
        shardsDesired: status.shards?.desired,
        reshardCallsUsed: status.reshardBudget?.used,
        ready: status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ? 1 : 0,
      };
      for (const [key, value] of Object.entries(values)) {
        const gauge = gauges[key as GaugeName];
        // Absent, not zero: what is not known is not zero.
        if (value === undefined) gauge.remove(labels);
        else gauge.set(labels, value);
      }
    },
    /** Ends the series of an object that is gone. */
    forget(namespace: string, scaler: string): void {
      for (const gauge of Object.values(gauges)) gauge.remove({ namespace, scaler });
    },
  };
}
