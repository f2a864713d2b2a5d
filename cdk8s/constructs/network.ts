import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import type { Environment } from '../environments/schema.ts';
import { collectorInCluster } from '../environments/tracing.ts';
import { type App, labelsOf } from './labels.ts';

/** What exists in the cluster beside Weir, by the names that it usually has. */
const MONITORING_NAMESPACE = 'monitoring';
const KEDA_NAMESPACE = 'keda';
export const ADMIN_PORT = 9090;
export const HTTP_PORT = 8080;
export const KEDA_PORT = 9095;

/** Where no address of AWS's public services is, of which DynamoDB is one even through a gateway endpoint. */
const NOT_PUBLIC = ['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'];
/** Where the addresses of a VPC may be. */
const PRIVATE = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'];
/** Where the EKS Pod Identity agent listens on each node. */
const POD_IDENTITY_AGENT = '169.254.170.23/32';

/** A port of a Service, to the pods' port of the same name. */
export function servicePort(name: string, port: number): k8s.ServicePort {
  return { name, port, targetPort: k8s.IntOrString.fromString(name) };
}

type Egress = k8s.NetworkPolicyEgressRule;
type Ingress = k8s.NetworkPolicyIngressRule;

const tcp = (...ports: number[]): k8s.NetworkPolicyPort[] =>
  ports.map((port) => ({ protocol: 'TCP', port: k8s.IntOrString.fromNumber(port) }));
const cidrs = (list: readonly string[]): k8s.NetworkPolicyPeer[] =>
  list.map((cidr) => ({ ipBlock: { cidr } }));
const pods = (app: App): k8s.NetworkPolicyPeer => ({ podSelector: { matchLabels: labelsOf(app) } });
const podsOf = (namespace: string, matchLabels?: Record<string, string>): k8s.NetworkPolicyPeer => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
  ...(matchLabels ? { podSelector: { matchLabels } } : {}),
});

export const toDns: Egress = {
  to: [podsOf('kube-system', { 'k8s-app': 'kube-dns' })],
  ports: [
    { protocol: 'UDP', port: k8s.IntOrString.fromNumber(53) },
    { protocol: 'TCP', port: k8s.IntOrString.fromNumber(53) },
  ],
};

/**
 * To AWS's endpoints and, with Pod Identity, to its agent. A NetworkPolicy knows addresses, not host names, so these
 * are all public addresses on 443, and the VPC's own where it has interface endpoints.
 */
export function toAws(env: Environment): Egress[] {
  const endpoints = env.network?.endpoints ? cidrs([env.network.cidr]) : [];
  const agent =
    env.podCredentials.kind === 'pod-identity' ? [{ to: cidrs([POD_IDENTITY_AGENT]), ports: tcp(80) }] : [];
  return [
    { to: [{ ipBlock: { cidr: '0.0.0.0/0', except: NOT_PUBLIC } }, ...endpoints], ports: tcp(443) },
    ...agent,
  ];
}

/** To a collector of traces in the cluster; one outside of it is among the public addresses. */
export function toCollector(env: Environment): Egress[] {
  const collector = env.tracing && collectorInCluster(env.tracing.endpoint);
  return collector ? [{ to: [podsOf(collector.namespace)], ports: tcp(collector.port) }] : [];
}

export function toApiServer(env: Environment): Egress {
  return { to: cidrs(env.apiServerCidrs), ports: tcp(443) };
}

export const toAdminOf = (...apps: App[]): Egress => ({ to: apps.map(pods), ports: tcp(ADMIN_PORT) });
export const fromPods = (port: number, ...apps: App[]): Ingress => ({
  from: apps.map(pods),
  ports: tcp(port),
});
export const fromPrometheus: Ingress = { from: [podsOf(MONITORING_NAMESPACE)], ports: tcp(ADMIN_PORT) };

/** Its operator asks for decisions, by gRPC or as JSON. */
export const fromKeda: Ingress = { from: [podsOf(KEDA_NAMESPACE)], ports: tcp(KEDA_PORT, HTTP_PORT) };

/** From load balancers, which have addresses of the VPC, and from a Gateway's pods, which plugins don't know by address. */
export function fromLoadBalancers(env: Environment): Ingress {
  const { ingress } = env.producer;
  const gateway = ingress.kind === 'gateway' ? [podsOf(ingress.namespace)] : [];
  return { from: [...cidrs(env.network ? [env.network.cidr] : PRIVATE), ...gateway], ports: tcp(HTTP_PORT) };
}

/** The holes of one app in the namespace's default deny. Probes of the kubelet pass in any case. */
export function allow(
  scope: Construct,
  env: Environment,
  app: App,
  { ingress, egress }: { ingress: Ingress[]; egress: Egress[] },
): void {
  new k8s.KubeNetworkPolicy(scope, 'NetworkPolicy', {
    metadata: { name: `weir-${app}`, namespace: env.namespace },
    spec: {
      podSelector: { matchLabels: labelsOf(app) },
      policyTypes: ['Ingress', 'Egress'],
      ingress,
      egress,
    },
  });
}
