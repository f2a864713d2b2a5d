/** A rule of a Role or ClusterRole. */
export interface PolicyRule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

/** A workload kind that may be scaled: `apps` `deployments`. */
export interface ScalableKind {
  group: string;
  plural: string;
}

const WORKLOADS: readonly ScalableKind[] = [
  { group: 'apps', plural: 'deployments' },
  { group: 'apps', plural: 'statefulsets' },
];

/**
 * What the controller may do where StreamScalers live (a ClusterRole, or a Role in the one namespace it watches): each
 * verb that it uses and no other, which `tests/kube/rbac.test.ts` proves with the API server's audit log.
 *
 * @param scalable the kinds that a `scaleTargetRef` may name.
 */
export function scalerRules(scalable: readonly ScalableKind[] = WORKLOADS): PolicyRule[] {
  const groups = [...new Set(scalable.map(({ group }) => group))];
  return [
    { apiGroups: ['weir.dev'], resources: ['streamscalers'], verbs: ['list', 'watch'] },
    { apiGroups: ['weir.dev'], resources: ['streamscalers/status'], verbs: ['patch'] },
    ...groups.flatMap((group) => {
      const plurals = scalable.filter((kind) => kind.group === group).map(({ plural }) => plural);
      return [
        // The pods that are ready, which `/scale` does not tell.
        { apiGroups: [group], resources: plurals, verbs: ['get'] },
        {
          apiGroups: [group],
          resources: plurals.map((plural) => `${plural}/scale`),
          verbs: ['get', 'update'],
        },
      ];
    }),
    // Who else scales the same target?
    { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: ['list'] },
    { apiGroups: ['keda.sh'], resources: ['scaledobjects'], verbs: ['list'] },
    // The deletion cost of pods before a scale-in.
    { apiGroups: [''], resources: ['pods'], verbs: ['list', 'patch'] },
    { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  ];
}

/** What the controller may do in its own namespace (a Role): leader election. */
export function leaderRules(): PolicyRule[] {
  return [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create', 'get', 'update'] }];
}
