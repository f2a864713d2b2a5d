import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import type { PolicyRule } from '../../services/controller/streamscaler/rbac.ts';
import { type PodService, roleArn, serviceAccountName } from '../environments/names.ts';
import type { Environment } from '../environments/schema.ts';

/** The account to which `infra/` gives the service's AWS role. No token is mounted unless the pod asks for it. */
export function createServiceAccount(scope: Construct, env: Environment, service: PodService): string {
  const name = serviceAccountName(service);
  const annotations =
    env.podCredentials.kind === 'irsa' ? { 'eks.amazonaws.com/role-arn': roleArn(env, service) } : undefined;
  new k8s.KubeServiceAccount(scope, 'ServiceAccount', {
    metadata: { name, namespace: env.namespace, ...(annotations ? { annotations } : {}) },
    automountServiceAccountToken: false,
  });
  return name;
}

/** A Role in the environment's namespace, bound to the service's account. */
export function createRole(
  scope: Construct,
  env: Environment,
  service: PodService,
  rules: (PolicyRule & { resourceNames?: string[] })[],
): void {
  const metadata = { name: serviceAccountName(service), namespace: env.namespace };
  new k8s.KubeRole(scope, 'Role', { metadata, rules });
  new k8s.KubeRoleBinding(scope, 'RoleBinding', {
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
    subjects: [{ kind: 'ServiceAccount', name: metadata.name, namespace: env.namespace }],
  });
}
