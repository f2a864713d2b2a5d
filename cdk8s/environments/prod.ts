import { defineEnvironment } from './schema.ts';

/** Data is protected and kept. For a second region see docs/how-to/deploy-infrastructure.md. */
export const prod = defineEnvironment({
  name: 'prod',
  account: '333333333333',
  region: 'ap-south-1',
  cluster: 'weir-prod',
  apiServerCidrs: ['172.20.0.1/32', '10.0.0.0/16'],
  podCredentials: { kind: 'pod-identity' },
  namespace: 'weir',
  stream: {
    name: 'anomaly-stream',
    mode: { kind: 'provisioned', shards: 2 },
    retentionHours: 24,
    shardMetrics: ['WriteProvisionedThroughputExceeded', 'IteratorAgeMilliseconds'],
  },
  records: { store: 'all', replicas: [] },
  detection: { detector: 'threshold', threshold: 1000 },
  consumers: {
    pods: {
      group: 'anomaly-stream',
      replicas: { min: 2, max: 10 },
      fetch: 'auto',
      scaling: 'Full',
      objective: { maxLagSeconds: 30, catchUpSeconds: 300, utilization: 0.7 },
    },
  },
  shards: { min: 2, max: 10 },
  producer: {
    replicas: { min: 3, max: 20 },
    host: 'events.weir.example',
    ingress: { kind: 'alb', scheme: 'internet-facing' },
  },
  controller: { replicas: 2 },
  console: { replicas: 1 },
  network: {
    vpcId: 'vpc-0a1b2c3d4e5f60718',
    cidr: '10.0.0.0/16',
    availabilityZones: ['ap-south-1a', 'ap-south-1b', 'ap-south-1c'],
    privateSubnetIds: ['subnet-0a1b2c3d4e5f60711', 'subnet-0a1b2c3d4e5f60712', 'subnet-0a1b2c3d4e5f60713'],
    privateRouteTableIds: ['rtb-0a1b2c3d4e5f60711', 'rtb-0a1b2c3d4e5f60712', 'rtb-0a1b2c3d4e5f60713'],
    endpoints: true,
  },
  alarms: { iteratorAgeSeconds: 60, noDataMinutes: 15, budgetUsd: 1000 },
  github: { repository: 'weir-dev/weir', oidcProvider: 'create' },
  protectData: true,
});
