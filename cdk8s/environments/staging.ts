import { defineEnvironment } from './schema.ts';

/** Like prod, smaller; here the Lambda variant runs beside the pods as a group of its own, for comparison. */
export const staging = defineEnvironment({
  name: 'staging',
  account: '222222222222',
  region: 'ap-south-1',
  cluster: 'weir-staging',
  apiServerCidrs: ['172.20.0.1/32', '10.0.0.0/16'],
  podCredentials: { kind: 'pod-identity' },
  namespace: 'weir',
  stream: {
    name: 'anomaly-stream',
    mode: { kind: 'provisioned', shards: 2 },
    retentionHours: 24,
    shardMetrics: [],
  },
  records: { store: 'all', ttlDays: 30, replicas: [] },
  detection: { detector: 'threshold', threshold: 1000 },
  consumers: {
    pods: {
      group: 'anomaly-stream',
      replicas: { min: 1, max: 8 },
      fetch: 'polling',
      scaling: 'Full',
      objective: { maxLagSeconds: 30, catchUpSeconds: 300, utilization: 0.7 },
    },
    lambda: {
      group: 'anomaly-stream-lambda',
      memoryMb: 256,
      timeoutSeconds: 60,
      batchSize: 100,
      batchWindowSeconds: 5,
      parallelization: 2,
      retryAttempts: 5,
      maxRecordAgeSeconds: 21_600,
      fanout: false,
      logRetentionDays: 14,
      inVpc: false,
    },
  },
  shards: { min: 1, max: 8 },
  producer: {
    replicas: { min: 2, max: 6 },
    host: 'events.staging.weir.example',
    ingress: { kind: 'alb', scheme: 'internal' },
  },
  controller: { replicas: 2 },
  console: { replicas: 1 },
  alarms: { iteratorAgeSeconds: 120, budgetUsd: 300 },
  github: { repository: 'weir-dev/weir', oidcProvider: 'create' },
  protectData: false,
});
