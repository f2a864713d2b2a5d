import { ApiObject } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { tableNames } from '../../services/shared/tables.ts';
import { PRIORITY } from '../constructs/hardened-deployment.ts';
import { PART_OF_WEIR } from '../constructs/labels.ts';
import { toDns } from '../constructs/network.ts';
import { GROUP, PLURAL, STREAM_SCALER_CRD, VERSION } from '../crd/stream-scaler.ts';
import { consumerGroups, IMAGES } from '../environments/names.ts';
import { repositoryUri } from '../environments/registry.ts';
import type { Environment } from '../environments/schema.ts';

/** The version of Pod Security's rules, so that an upgrade of the cluster changes none of them unseen. */
const POD_SECURITY_VERSION = 'v1.34';

/** What has to be there before anything else: the namespace and its rules, and the StreamScaler's definition. */
export function platform(scope: Construct, env: Environment): void {
  createNamespace(scope, env);
  new k8s.KubePriorityClass(scope, 'PipelinePriority', {
    metadata: { name: PRIORITY.pipeline },
    value: 100_000,
    description: 'Pods that carry events, and the controller that scales them.',
  });
  new k8s.KubePriorityClass(scope, 'ToolsPriority', {
    metadata: { name: PRIORITY.tools },
    value: 1_000,
    preemptionPolicy: 'Never',
    description: 'Pods of Weir that people look at; they push nobody out.',
  });
  // Nothing may come in, nothing may go out but name resolution: each app makes its own holes.
  new k8s.KubeNetworkPolicy(scope, 'DefaultDeny', {
    metadata: { name: 'default-deny', namespace: env.namespace },
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], egress: [toDns] },
  });
  new ApiObject(scope, 'StreamScalers', structuredClone(STREAM_SCALER_CRD));
  imagePolicy(scope, env);
  scalerPolicy(scope, env);
}

function createNamespace(scope: Construct, env: Environment): void {
  const modes = ['enforce', 'audit', 'warn'].flatMap((mode) => [
    [`pod-security.kubernetes.io/${mode}`, 'restricted'],
    [`pod-security.kubernetes.io/${mode}-version`, POD_SECURITY_VERSION],
  ]);
  new k8s.KubeNamespace(scope, 'Namespace', {
    metadata: { name: env.namespace, labels: { ...PART_OF_WEIR, ...Object.fromEntries(modes) } },
  });
}

interface AdmissionPolicy {
  name: string;
  rules: object[];
  variables?: { name: string; expression: string }[];
  validations: { expression: string; message: string }[];
}

/** A ValidatingAdmissionPolicy for the environment's namespace. cdk8s-plus-27 has it as v1alpha1 only. */
function admissionPolicy(scope: Construct, env: Environment, policy: AdmissionPolicy): void {
  const { name, rules, variables = [], validations } = policy;
  new ApiObject(scope, name, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: { resourceRules: rules },
      ...(variables.length > 0 ? { variables } : {}),
      validations: validations.map((validation) => ({ ...validation, reason: 'Forbidden' })),
    },
  });
  new ApiObject(scope, `${name}-binding`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name },
    spec: {
      policyName: name,
      validationActions: ['Deny', 'Audit'],
      matchResources: {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': env.namespace } },
      },
    },
  });
}

/** Only our images, each by its digest, whoever makes the pod, and in what runs beside a pod too. */
function imagePolicy(scope: Construct, env: Environment): void {
  const operations = ['CREATE', 'UPDATE'];
  const allowed = IMAGES.map(repositoryUri).map((uri) => uri.replaceAll('.', '[.]'));
  admissionPolicy(scope, env, {
    name: 'weir-images',
    rules: [
      { apiGroups: [''], apiVersions: ['v1'], operations, resources: ['pods', 'pods/ephemeralcontainers'] },
      {
        apiGroups: ['apps'],
        apiVersions: ['v1'],
        operations,
        resources: ['deployments', 'replicasets', 'statefulsets', 'daemonsets'],
      },
    ],
    variables: [
      { name: 'pod', expression: "object.kind == 'Pod' ? object.spec : object.spec.template.spec" },
      {
        name: 'images',
        expression: [
          'variables.pod.containers.map(c, c.image)',
          'variables.pod.?initContainers.orValue([]).map(c, c.image)',
          'variables.pod.?ephemeralContainers.orValue([]).map(c, c.image)',
        ].join(' + '),
      },
    ],
    validations: [
      {
        expression: `variables.images.all(image, image.matches('^(${allowed.join('|')})@sha256:[0-9a-f]{64}$'))`,
        message: `images in ${env.namespace} must be Weir's own, by digest (@sha256:…), from its registry`,
      },
    ],
  });
}

/** A StreamScaler must stay within what this environment is allowed, whoever writes it. */
function scalerPolicy(scope: Construct, env: Environment): void {
  const { pods } = env.consumers;
  const modes = ['Recommend', 'ReplicasOnly', 'Full'];
  const leaseTables = consumerGroups(env).map((group) => tableNames(group).leases);
  const allowedModes = pods ? modes.slice(0, modes.indexOf(pods.scaling) + 1) : ['Recommend'];
  const { shards } = env;
  admissionPolicy(scope, env, {
    name: 'weir-stream-scalers',
    rules: [
      {
        apiGroups: [GROUP],
        apiVersions: [VERSION],
        operations: ['CREATE', 'UPDATE'],
        resources: [PLURAL],
      },
    ],
    validations: [
      {
        expression: `object.spec.stream.?name.orValue('') == '${env.stream.name}' && !has(object.spec.stream.endpoint)`,
        message: `spec.stream must be ${env.stream.name} by name, without an endpoint of its own`,
      },
      {
        expression: `object.spec.consumer.leaseTable in ${JSON.stringify(leaseTables)}`,
        message: `spec.consumer.leaseTable must be one of ${leaseTables.join(', ')}`,
      },
      {
        expression: `object.spec.replicas.min >= ${pods?.replicas.min ?? 0} && object.spec.replicas.max <= ${pods?.replicas.max ?? 0}`,
        message: `spec.replicas must be within ${pods?.replicas.min ?? 0} and ${pods?.replicas.max ?? 0}`,
      },
      {
        expression: `!has(object.spec.shards) || (object.spec.shards.min >= ${shards.min} && object.spec.shards.max <= ${shards.max})`,
        message: `spec.shards must be within ${shards.min} and ${shards.max}`,
      },
      {
        expression: `object.spec.mode in ${JSON.stringify(allowedModes)}`,
        message: `spec.mode may be ${allowedModes.join(', ')}`,
      },
    ],
  });
}
