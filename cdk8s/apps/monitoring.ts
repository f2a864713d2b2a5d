import { ApiObject } from 'cdk8s';
import type { Construct } from 'constructs';
import { NAME, PART_OF_WEIR } from '../constructs/labels.ts';
import type { Environment } from '../environments/schema.ts';

/** One PodMonitor for all: each pod of Weir has a port `admin` with `/metrics`, and only some have a Service. */
export function monitoring(scope: Construct, env: Environment): void {
  new ApiObject(scope, 'PodMonitor', {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: { name: 'weir', namespace: env.namespace },
    spec: {
      jobLabel: NAME,
      selector: { matchLabels: PART_OF_WEIR },
      namespaceSelector: { matchNames: [env.namespace] },
      podMetricsEndpoints: [{ port: 'admin', path: '/metrics', interval: '15s', scrapeTimeout: '5s' }],
      // What one scrape may bring: a leak of labels harms Weir's own figures, not the Prometheus of all.
      sampleLimit: 20_000,
    },
  });
}
