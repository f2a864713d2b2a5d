import { describe, expect, it } from 'vitest';
import { dev } from './environments/dev.ts';
import { find, objectsOf } from './fixtures.ts';
import { renderCharts } from './render.ts';
import { violations } from './rules.ts';

describe('the rules of the house', () => {
  // biome-ignore lint/suspicious/noExplicitAny: what is broken here is broken on purpose.
  type Broken = any;
  const pod = (o: Broken) => o.spec.template.spec;
  it.each<[string, string, string | undefined, (object: Broken) => void, RegExp]>([
    [
      'a pod without seccomp',
      'Deployment',
      'weir-producer',
      (o) => {
        delete pod(o).securityContext.seccompProfile;
      },
      /seccomp/,
    ],
    [
      'replicas where a scaler owns them',
      'Deployment',
      'weir-consumer',
      (o) => {
        o.spec.replicas = 3;
      },
      /replicas, which a scaler owns/,
    ],
    [
      'replicas where the HPA owns them',
      'Deployment',
      'weir-producer',
      (o) => {
        o.spec.replicas = 3;
      },
      /replicas, which a scaler owns/,
    ],
    [
      'no replicas and no scaler',
      'Deployment',
      'weir-controller',
      (o) => {
        delete o.spec.replicas;
      },
      /no scaler/,
    ],
    [
      'an image by tag',
      'Deployment',
      'weir-consumer',
      (o) => {
        pod(o).containers[0].image = 'weir/consumer:v1';
      },
      /not named by its digest/,
    ],
    [
      'a role with a wildcard',
      'Role',
      'weir-controller',
      (o) => {
        o.rules[0].verbs = ['*'];
      },
      /wildcard/,
    ],
    [
      'a role that reads secrets',
      'Role',
      'weir-controller',
      (o) => {
        o.rules[0].resources = ['secrets'];
      },
      /Secrets/,
    ],
    [
      'a selector of another name',
      'Deployment',
      'weir-consumer',
      (o) => {
        o.spec.selector.matchLabels = { 'cdk8s.io/metadata.addr': 'chart-c8' };
        Object.assign(o.spec.template.metadata.labels, o.spec.selector.matchLabels);
      },
      /selects its pods by other labels/,
    ],
    [
      'a selector without its pods',
      'Deployment',
      'weir-consumer',
      (o) => {
        o.spec.template.metadata.labels = {};
      },
      /own pods/,
    ],
    [
      'a capability',
      'Deployment',
      'weir-producer',
      (o) => {
        pod(o).containers[0].securityContext.capabilities.drop = [];
      },
      /capabilities/,
    ],
    [
      'a root that can be written',
      'Deployment',
      'weir-producer',
      (o) => {
        delete pod(o).containers[0].securityContext.readOnlyRootFilesystem;
      },
      /write into its root/,
    ],
    [
      'no memory limit',
      'Deployment',
      'weir-producer',
      (o) => {
        delete pod(o).containers[0].resources.limits.memory;
      },
      /memory limit/,
    ],
    [
      'a ConfigMap that can change',
      'ConfigMap',
      undefined,
      (o) => {
        delete o.immutable;
      },
      /immutable/,
    ],
    [
      'a token for all',
      'ServiceAccount',
      undefined,
      (o) => {
        delete o.automountServiceAccountToken;
      },
      /token/,
    ],
    [
      'a ClusterRole',
      'Role',
      'weir-controller',
      (o) => {
        o.kind = 'ClusterRole';
      },
      /use a Role/,
    ],
  ])('see %s', (_, kind, name, change, problem) => {
    const objects = structuredClone(objectsOf(dev));
    change(find(objects, kind, name));
    expect(violations(objects)).toEqual([expect.stringMatching(problem)]);
  });

  it('hold at npm run synth', () => {
    const noScaler = { ...dev, consumers: { ...dev.consumers } };
    expect(() => renderCharts([noScaler])).not.toThrow();
    expect(() => renderCharts([{ ...dev, controller: { replicas: undefined as never } }])).toThrow(
      /weir-controller has no replicas/,
    );
  });
});
