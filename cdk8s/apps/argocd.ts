import { readFileSync } from 'node:fs';
import { ApiObject } from 'cdk8s';
import type { Construct } from 'constructs';
import { KIND } from '../crd/stream-scaler.ts';
import type { Environment } from '../environments/schema.ts';
import { CONSUMER } from './consumer.ts';
import { PRODUCER } from './producer.ts';

const NAMESPACE = 'argocd';
const PROJECT = 'weir';
const BRANCH = 'main';
/** Kinds outside of a namespace that the apps hold: the project allows these and no other. */
export const CLUSTER_KINDS = [
  { group: '', kind: 'Namespace' },
  { group: 'admissionregistration.k8s.io', kind: 'ValidatingAdmissionPolicy' },
  { group: 'admissionregistration.k8s.io', kind: 'ValidatingAdmissionPolicyBinding' },
  { group: 'apiextensions.k8s.io', kind: 'CustomResourceDefinition' },
  { group: 'scheduling.k8s.io', kind: 'PriorityClass' },
];
/** Deployments whose replicas a scaler sets. */
export const SCALED_DEPLOYMENTS = [PRODUCER, CONSUMER];

/** What Argo CD itself needs, applied once by hand (docs/how-to): its project, the apps, and how it sees a StreamScaler. */
export function argocd(scope: Construct, environments: readonly Environment[]): void {
  project(scope, environments);
  applications(scope, environments);
  health(scope);
}

function repository(environments: readonly Environment[]): string {
  const names = new Set(environments.map((env) => env.github.repository));
  if (names.size !== 1)
    throw new Error(`the environments are in several repositories: ${[...names].join(', ')}`);
  return `https://github.com/${[...names][0]}.git`;
}

function project(scope: Construct, environments: readonly Environment[]): void {
  new ApiObject(scope, 'Project', {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'AppProject',
    metadata: { name: PROJECT, namespace: NAMESPACE },
    spec: {
      description: 'Weir: from this repository, into its own namespaces.',
      sourceRepos: [repository(environments)],
      destinations: environments.map((env) => ({ name: env.cluster, namespace: env.namespace })),
      clusterResourceWhitelist: CLUSTER_KINDS,
      // In its namespaces all that Weir renders, and nothing that hands out rights or secrets beside it.
      namespaceResourceBlacklist: [
        { group: '', kind: 'Secret' },
        { group: '', kind: 'ResourceQuota' },
        { group: '', kind: 'LimitRange' },
      ],
      orphanedResources: { warn: true },
    },
  });
}

function applications(scope: Construct, environments: readonly Environment[]): void {
  const repoURL = repository(environments);
  new ApiObject(scope, 'Applications', {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'ApplicationSet',
    metadata: { name: 'weir', namespace: NAMESPACE },
    spec: {
      goTemplate: true,
      // A parameter that isn't there is an error, not an empty name.
      goTemplateOptions: ['missingkey=error'],
      generators: [
        {
          matrix: {
            generators: [
              {
                list: {
                  elements: environments.map(({ name, cluster, namespace }) => ({
                    environment: name,
                    cluster,
                    namespace,
                  })),
                },
              },
              {
                git: {
                  repoURL,
                  revision: BRANCH,
                  directories: [{ path: 'charts/{{ .environment }}/*' }],
                },
              },
            ],
          },
        },
      ],
      // A generator that finds nothing, for a broken clone say, must not take the Applications away.
      syncPolicy: { applicationsSync: 'create-update', preserveResourcesOnDeletion: true },
      template: {
        metadata: {
          name: 'weir-{{ .environment }}-{{ .path.basename }}',
          labels: { 'weir.dev/environment': '{{ .environment }}', 'weir.dev/app': '{{ .path.basename }}' },
          annotations: {
            // What the API server would make of it, defaults included, is compared.
            'argocd.argoproj.io/compare-options': 'ServerSideDiff=true',
            // A commit that leaves the folder alone is no reason to render it again.
            'argocd.argoproj.io/manifest-generate-paths': '.',
          },
        },
        spec: {
          project: PROJECT,
          source: { repoURL, targetRevision: BRANCH, path: '{{ .path.path }}' },
          destination: { name: '{{ .cluster }}', namespace: '{{ .namespace }}' },
          revisionHistoryLimit: 10,
          // The scaler owns it, and the manifests don't have it: neither a difference, nor to be set back.
          ignoreDifferences: SCALED_DEPLOYMENTS.map((name) => ({
            group: 'apps',
            kind: 'Deployment',
            name,
            jsonPointers: ['/spec/replicas'],
          })),
          syncPolicy: {
            // allowEmpty: an empty render, by a wrong merge say, prunes nothing.
            automated: { prune: true, selfHeal: true, allowEmpty: false },
            syncOptions: [
              'ServerSideApply=true',
              'RespectIgnoreDifferences=true',
              'FailOnSharedResource=true',
              // The ConfigMap of the old pods goes when the new pods are there.
              'PruneLast=true',
            ],
            // On a new cluster apps wait for the platform's namespace and definitions.
            // refresh: a newer commit, a revert for one, ends the tries of the older.
            retry: { limit: 10, refresh: true, backoff: { duration: '5s', factor: 2, maxDuration: '3m' } },
          },
        },
      },
    },
  });
}

/** Its part of Argo CD's own ConfigMap; server-side apply leaves the other keys alone. */
function health(scope: Construct): void {
  const lua = new URL('../argocd/resource_customizations/weir.dev/StreamScaler/health.lua', import.meta.url);
  new ApiObject(scope, 'Health', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: 'argocd-cm',
      namespace: NAMESPACE,
      labels: { 'app.kubernetes.io/name': 'argocd-cm', 'app.kubernetes.io/part-of': 'argocd' },
    },
    data: { [`resource.customizations.health.weir.dev_${KIND}`]: readFileSync(lua, 'utf8') },
  });
}
