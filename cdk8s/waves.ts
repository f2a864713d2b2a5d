import { WeirError } from '../services/shared/errors.ts';

/** Orders the objects of an Argo CD sync: the next wave begins when this one is applied and healthy. */
export const WAVE_ANNOTATION = 'argocd.argoproj.io/sync-wave';

/** What others need comes first; what scales or watches comes when there is something to scale or watch. */
const KINDS_BY_WAVE: Readonly<Record<string, readonly string[]>> = {
  '-2': [
    'Namespace',
    'PriorityClass',
    'CustomResourceDefinition',
    'ValidatingAdmissionPolicy',
    'ValidatingAdmissionPolicyBinding',
  ],
  '-1': ['ServiceAccount', 'Role', 'RoleBinding', 'ConfigMap', 'SecretProviderClass', 'NetworkPolicy'],
  '0': ['Deployment', 'PodDisruptionBudget', 'Service', 'Ingress', 'HTTPRoute'],
  '1': ['HorizontalPodAutoscaler', 'StreamScaler', 'PodMonitor', 'PrometheusRule'],
};

const WAVES = new Map(
  Object.entries(KINDS_BY_WAVE).flatMap(([wave, kinds]) => kinds.map((kind) => [kind, wave])),
);

/**
 * The wave of a kind.
 *
 * @throws WeirError for a kind that was given none: a wrong guess would be seen only at the first sync of a new cluster.
 */
export function waveOf(kind: string): string {
  const wave = WAVES.get(kind);
  if (wave === undefined)
    throw new WeirError('no-wave', `${kind} has no sync wave: give it one in cdk8s/waves.ts`);
  return wave;
}
