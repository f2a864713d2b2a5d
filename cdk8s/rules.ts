import type { Manifest } from './render.ts';

interface Container {
  name: string;
  image: string;
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  securityContext?: {
    allowPrivilegeEscalation?: boolean;
    readOnlyRootFilesystem?: boolean;
    capabilities?: { drop?: string[] };
  };
}

interface PodSpec {
  securityContext?: { runAsNonRoot?: boolean; runAsUser?: number; seccompProfile?: { type?: string } };
  serviceAccountName?: string;
  automountServiceAccountToken?: boolean;
  enableServiceLinks?: boolean;
  containers: Container[];
}

interface Workload {
  replicas?: number;
  selector: { matchLabels: Record<string, string> };
  template: { metadata: { labels: Record<string, string> }; spec: PodSpec };
}

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

/** Looks at one object among all objects of its environment. */
type Check = (manifest: Manifest, all: readonly Manifest[]) => (string | false)[];

const SELECTOR_LABELS = 'app.kubernetes.io/name,app.kubernetes.io/part-of';

const CHECKS: Readonly<Record<string, Check>> = {
  Deployment: (manifest, all) => {
    const { replicas, selector, template } = manifest.spec as Workload;
    const scaled = all.some(({ kind, spec }) => {
      const target = (spec as { scaleTargetRef?: { name?: string } } | undefined)?.scaleTargetRef;
      return (
        ['HorizontalPodAutoscaler', 'StreamScaler'].includes(kind) && target?.name === manifest.metadata.name
      );
    });
    const name = manifest.metadata.name.replace(/^weir-/, '');
    return [
      scaled && replicas !== undefined && 'has replicas, which a scaler owns',
      !scaled && replicas === undefined && 'has no replicas, and no scaler that would set them',
      (Object.keys(selector.matchLabels).sort().join(',') !== SELECTOR_LABELS ||
        selector.matchLabels['app.kubernetes.io/name'] !== name) &&
        'selects its pods by other labels than its own name: a selector can not be changed later',
      Object.entries(selector.matchLabels).some(([key, value]) => template.metadata.labels[key] !== value) &&
        'does not select its own pods',
      ...podProblems(template.spec),
    ];
  },
  Role: (manifest) =>
    (manifest.rules as Rule[]).flatMap((rule) => [
      [...rule.apiGroups, ...rule.resources, ...rule.verbs].some((word) => word.includes('*')) &&
        'has a wildcard',
      rule.verbs.some((verb) => ['escalate', 'bind', 'impersonate'].includes(verb)) &&
        'may give itself rights',
      rule.resources.includes('secrets') && 'reads Secrets',
    ]),
  ClusterRole: () => ['gives rights outside of the namespace: use a Role'],
  ClusterRoleBinding: () => ['gives rights outside of the namespace: use a RoleBinding'],
  Secret: () => ['is a Secret: nothing secret stands in git'],
  ConfigMap: (manifest) => [
    manifest.immutable !== true && 'can be changed under running pods: make it immutable',
    !/-[0-9a-f]{8}$/.test(manifest.metadata.name) && 'has no hash of its content in its name',
  ],
  ServiceAccount: (manifest) => [
    manifest.automountServiceAccountToken !== false && 'mounts its token into each pod',
  ],
};

/**
 * The rules that every rendered object keeps. A cluster refuses some of what breaks them, but only there.
 *
 * @returns one line for each rule that is broken: `Deployment/weir-consumer has replicas, which a scaler owns`.
 */
export function violations(manifests: readonly Manifest[]): string[] {
  const seen = new Set<string>();
  return manifests.flatMap((manifest) => {
    const name = `${manifest.kind}/${manifest.metadata.name}`;
    const twice = seen.has(name) && 'is there twice';
    seen.add(name);
    const found = CHECKS[manifest.kind]?.(manifest, manifests) ?? [];
    return [twice, ...found].filter((problem) => problem !== false).map((problem) => `${name} ${problem}`);
  });
}

function podProblems(pod: PodSpec): (string | false)[] {
  return [
    pod.securityContext?.seccompProfile?.type !== 'RuntimeDefault' && 'has no seccomp profile',
    pod.securityContext?.runAsNonRoot !== true && 'may run as root',
    pod.enableServiceLinks !== false && 'has service links in its environment',
    pod.automountServiceAccountToken === undefined && 'does not say whether it needs a token',
    ...pod.containers.flatMap(({ image, resources, securityContext }) => [
      !/@sha256:[0-9a-f]{64}$/.test(image) && `runs ${image}, which is not named by its digest`,
      securityContext?.allowPrivilegeEscalation !== false && 'may gain privileges',
      securityContext?.readOnlyRootFilesystem !== true && 'may write into its root',
      securityContext?.capabilities?.drop?.includes('ALL') !== true && 'keeps capabilities',
      (!resources?.requests?.cpu || !resources.requests.memory) && 'requests no CPU or memory',
      !resources?.limits?.memory && 'has no memory limit',
      resources?.limits?.cpu !== undefined && 'has a CPU limit, which throttles bursts',
    ]),
  ];
}
