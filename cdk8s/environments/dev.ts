import { defineEnvironment } from './schema.ts';

/** Cheap, and its data may be lost. Accounts here are placeholders: put your own. */
export const dev = defineEnvironment({
  name: 'dev',
  account: '111111111111',
  region: 'ap-south-1',
  cluster: 'weir-dev',
  apiServerCidrs: ['172.20.0.1/32', '10.0.0.0/16'],
  podCredentials: { kind: 'pod-identity' },
  namespace: 'weir',
  stream: {
    name: 'anomaly-stream',
    mode: { kind: 'provisioned', shards: 2 },
    retentionHours: 24,
    shardMetrics: [],
  },
  records: { store: 'all', ttlDays: 7, replicas: [] },
  detection: { detector: 'threshold', threshold: 1000 },
  consumers: {
    pods: {
      group: 'anomaly-stream',
      replicas: { min: 1, max: 4 },
      fetch: 'polling',
      scaling: 'Full',
      objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
    },
  },
  shards: { min: 1, max: 4 },
  producer: {
    replicas: { min: 1, max: 3 },
    host: 'events.dev.weir.example',
    ingress: { kind: 'alb', scheme: 'internal' },
  },
  controller: { replicas: 1 },
  console: { replicas: 1 },
  alarms: { iteratorAgeSeconds: 300, budgetUsd: 100 },
  github: { repository: 'weir-dev/weir', oidcProvider: 'create' },
  protectData: false,
});
