import { describe, expect, it } from 'vitest';
import { VARIATIONS } from '../../infra/testing/variations.ts';
import { type Manifest, renderEnvironment } from '../render.ts';

interface Peer {
  podSelector?: { matchLabels?: Record<string, string> };
  namespaceSelector?: { matchLabels?: Record<string, string> };
  ipBlock?: { cidr: string };
}
interface Policy {
  podSelector: { matchLabels?: Record<string, string> };
  policyTypes: string[];
  ingress?: { from?: Peer[]; ports?: { port: number; protocol: string }[] }[];
  egress?: { to?: Peer[]; ports?: { port: number; protocol: string }[] }[];
}
interface Workload {
  name: string;
  labels: Record<string, string>;
  ports: number[];
}

const selects = (
  selector: { matchLabels?: Record<string, string> } | undefined,
  labels: Record<string, string>,
) =>
  selector !== undefined &&
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);

function parts(objects: readonly Manifest[]) {
  const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy').map(({ spec }) => spec as Policy);
  const workloads = objects
    .filter(({ kind }) => kind === 'Deployment')
    .map(({ metadata, spec }): Workload => {
      const { template } = spec as {
        template: {
          metadata: { labels: Record<string, string> };
          spec: { containers: { ports: { containerPort: number }[] }[] };
        };
      };
      const ports = template.spec.containers.flatMap((c) => c.ports.map((p) => p.containerPort));
      return { name: metadata.name.replace('weir-', ''), labels: template.metadata.labels, ports };
    });
  return { policies, workloads };
}

/** Every way from a pod of Weir to another that the policies leave open on both ends: `consumer > consumer:9090`. */
function ways(objects: readonly Manifest[]): string[] {
  const { policies, workloads } = parts(objects);
  const of = (workload: Workload) =>
    policies.filter((policy) => selects(policy.podSelector, workload.labels));
  const hit = (peers: Peer[] | undefined, to: Workload) =>
    peers === undefined ||
    peers.some((peer) => !peer.namespaceSelector && selects(peer.podSelector, to.labels));
  const open = (ports: { port: number }[] | undefined, port: number) =>
    ports === undefined || ports.some((p) => p.port === port);
  return workloads.flatMap((from) =>
    workloads.flatMap((to) =>
      to.ports
        .filter(
          (port) =>
            of(from).some((p) => p.egress?.some((rule) => hit(rule.to, to) && open(rule.ports, port))) &&
            of(to).some((p) => p.ingress?.some((rule) => hit(rule.from, from) && open(rule.ports, port))),
        )
        .map((port) => `${from.name} > ${to.name}:${port}`),
    ),
  );
}

describe.each(Object.entries(VARIATIONS))('the network of %s', (_, env) => {
  const objects = [...renderEnvironment(env).values()].flat();
  const { policies, workloads } = parts(objects);

  it('lets pods reach each other for the handoff and for what the console shows, and for nothing else', () => {
    const ofPods = ['consumer > consumer:9090', 'console > consumer:9090'];
    expect(ways(objects).sort()).toEqual(
      [...(env.consumers.pods ? ofPods : []), 'console > producer:9090'].sort(),
    );
  });

  it('denies what no policy of an app allows', () => {
    const all = policies.filter(({ podSelector }) => Object.keys(podSelector.matchLabels ?? {}).length === 0);
    expect(all).toMatchObject([{ policyTypes: ['Ingress', 'Egress'] }]);
    expect(all[0]?.ingress).toBeUndefined();
    // No rule stands open to all, in either direction.
    for (const policy of policies) {
      for (const rule of policy.ingress ?? []) expect(rule.from?.length && rule.ports?.length).toBeTruthy();
      for (const rule of policy.egress ?? []) expect(rule.to?.length && rule.ports?.length).toBeTruthy();
    }
  });

  it('has each pod scraped, and the outside world at the port of events alone', () => {
    for (const { name, labels } of workloads) {
      const rules = policies.filter((p) => selects(p.podSelector, labels)).flatMap((p) => p.ingress ?? []);
      const monitored = rules.filter(({ from }) =>
        from?.some(
          (peer) => peer.namespaceSelector?.matchLabels?.['kubernetes.io/metadata.name'] === 'monitoring',
        ),
      );
      expect(
        monitored.map(({ ports }) => ports),
        name,
      ).toEqual([[{ port: 9090, protocol: 'TCP' }]]);
      const outside = rules.filter(({ from }) => from?.some(({ ipBlock }) => ipBlock));
      expect(
        outside.map(({ ports }) => ports),
        name,
      ).toEqual(name === 'producer' ? [[{ port: 8080, protocol: 'TCP' }]] : []);
    }
  });
});
