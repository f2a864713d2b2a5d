/** A StreamScaler as the controller leaves it after it scaled up twice. */
const at = (minutesAgo: number) => new Date(Date.now() - minutesAgo * 60_000).toISOString();

export const SCALER = {
  apiVersion: 'weir.dev/v1alpha1',
  kind: 'StreamScaler',
  metadata: { name: 'anomaly-stream', namespace: 'weir' },
  spec: {
    stream: { name: 'anomaly-stream' },
    mode: 'Full',
    objective: { maxLagSeconds: 60 },
    replicas: { min: 1, max: 10 },
    shards: { min: 1, max: 10 },
  },
  status: {
    observedGeneration: 1,
    replicas: { current: 2, desired: 3 },
    shards: { open: 2, desired: 3 },
    reshardBudget: {
      used: 3,
      calls: [
        { time: at(400), operation: 'UpdateShardCount', from: 1, to: 2, outcome: 'Accepted' },
        { time: at(300), operation: 'UpdateShardCount', from: 2, to: 1, outcome: 'Accepted' },
        { time: at(120), operation: 'UpdateShardCount', from: 1, to: 2, outcome: 'Accepted' },
      ],
    },
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Reconciled',
        message: 'The stream is watched.',
        lastTransitionTime: at(500),
      },
    ],
    lastDecision: {
      time: at(1),
      action: 'ScaleUp',
      reason:
        'replicas 2 to 3: 1,900 records/s arrive, a pod does 950 at 70 % utilization, and 12 s are to be caught up',
    },
  },
};
