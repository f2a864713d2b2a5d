import { ApiObject } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { hashedName } from '../constructs/hashed-name.ts';
import { NAME, PART_OF_WEIR } from '../constructs/labels.ts';
import type { Environment } from '../environments/schema.ts';
import { dashboard } from '../monitoring/dashboard.ts';
import { ruleGroups } from '../monitoring/rules.ts';

/** What Prometheus and Grafana are given: where to scrape, what to alert on, what to show. */
export function monitoring(scope: Construct, env: Environment): void {
  podMonitor(scope, env);
  new ApiObject(scope, 'PrometheusRule', {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'weir', namespace: env.namespace },
    spec: { groups: ruleGroups(env) },
  });
  const json = `${JSON.stringify(dashboard(env), undefined, 2)}\n`;
  new k8s.KubeConfigMap(scope, 'Dashboard', {
    metadata: {
      name: hashedName('weir-dashboard', json),
      namespace: env.namespace,
      // Grafana's sidecar loads what has it (kube-prometheus-stack's default).
      labels: { grafana_dashboard: '1' },
    },
    immutable: true,
    data: { 'weir.json': json },
  });
}

/** One PodMonitor for all: each pod of Weir has a port `admin` with `/metrics`, and only some have a Service. */
function podMonitor(scope: Construct, env: Environment): void {
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
