import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { STREAM_SCALER_CRD } from '../../cdk8s/crd/stream-scaler.ts';
import { environments } from '../../cdk8s/environments/environments.ts';
import { type Manifest, renderEnvironment } from '../../cdk8s/render.ts';
import { WAVE_ANNOTATION } from '../../cdk8s/waves.ts';
import { VARIATIONS } from '../../infra/testing/variations.ts';
import { findCrds } from './assets.ts';
import { Cluster, describeWithCluster } from './cluster.ts';
import { Applier, type Stored } from './server-side-apply.ts';

const { files: crds, missing } = findCrds();
if (missing.length > 0 && process.env.REQUIRE_KUBE === '1')
  throw new Error(`${missing.join(', ')} missing: npm run kube:assets`);

const ACCEPTED = 'it was accepted';
const DIGEST = `sha256:${'a'.repeat(64)}`;
const wave = ({ metadata }: Manifest) => Number(metadata.annotations?.[WAVE_ANNOTATION] ?? 0);
const byWave = (manifests: readonly Manifest[]) => manifests.toSorted((a, b) => wave(a) - wave(b));
const read = (file: string) => parse(readFileSync(file, 'utf8')) as Manifest;
const nameOf = ({ kind, metadata }: Manifest) => `${kind}/${metadata.name}`;

/** The committed files of the environments, and what the choices that none of them makes would give. */
const SETS: [string, () => Manifest[]][] = [
  ...environments.map(({ name }): [string, () => Manifest[]] => [
    `charts/${name}`,
    () => globSync(`charts/${name}/**/*.yaml`).map(read),
  ]),
  ...Object.entries(VARIATIONS)
    .filter(([name]) => !environments.some((env) => env.name === name))
    .map(([name, env]): [string, () => Manifest[]] => [
      name,
      () => [...renderEnvironment(env).values()].flat(),
    ]),
];

interface PodTemplate {
  metadata: { labels: Record<string, string> };
  spec: {
    securityContext: { seccompProfile?: object };
    containers: { name: string; image: string }[];
    ephemeralContainers?: object[];
  };
}

/** The pod that a Deployment's controller would make. */
function podOf(deployment: Manifest): Manifest & PodTemplate {
  const { metadata, spec } = structuredClone((deployment.spec as { template: PodTemplate }).template);
  const { name, namespace = '' } = deployment.metadata;
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name, namespace }, spec };
}

describe.skipIf(missing.length > 0)('charts/ on a real API server', () => {
  describeWithCluster('server-side apply', () => {
    let cluster: Cluster;
    let applier: Applier;

    beforeAll(async () => {
      cluster = await Cluster.start();
      applier = new Applier(cluster);
      for (const file of crds) await applier.create(read(file));
    });
    afterAll(async () => {
      applier?.close();
      await cluster?.stop();
    });

    const deployment = (name: string) => read(`charts/dev/${name}/deployment.yaml`);
    const scaler = () =>
      read('charts/dev/consumer/streamscaler.yaml') as Manifest & {
        spec: Record<string, Record<string, unknown>>;
      };
    /** A policy that has changed takes effect a moment later; until then the one before refuses, and Argo CD tries again. */
    const retried = async (apply: () => Promise<unknown>) => {
      for (let tries = 0; ; tries++) {
        const refused = await refusal(apply());
        if (!refused.includes('ValidatingAdmissionPolicy')) return expect(refused).toBe(ACCEPTED);
        expect(tries, refused).toBeLessThan(50);
        await sleep(100);
      }
    };
    const refusal = async (call: Promise<unknown>) =>
      await call.then(
        () => ACCEPTED,
        (error: Error) => error.message,
      );

    it.each(SETS)('%s is taken whole, and a second time without a change', async (_, load) => {
      const manifests = byWave(load());
      const version = (object: Stored) => `${nameOf(object)} ${object.metadata.resourceVersion}`;
      const first: string[] = [];
      const second: string[] = [];
      for (const manifest of manifests) await retried(() => applier.apply(manifest));
      for (const manifest of manifests) first.push(version(await applier.get(manifest)));
      for (const manifest of manifests) second.push(version(await applier.apply(manifest)));
      expect(first.length).toBeGreaterThan(20);
      expect(second).toEqual(first);
      for (const manifest of manifests.filter(({ kind }) => kind === 'Deployment'))
        await applier.create(podOf(manifest), { dryRun: true });
      // The next set begins on an empty cluster; no controller is here that would finish a namespace's deletion.
      for (const manifest of manifests.toReversed())
        if (!['Namespace', 'CustomResourceDefinition'].includes(manifest.kind))
          await applier.delete(manifest);
    });

    it('takes charts/argocd by the definitions of Argo CD', async () => {
      await applier.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'argocd' } });
      const manifests = globSync('charts/argocd/*.yaml').map(read);
      expect(manifests.map(({ kind }) => kind).sort()).toEqual(['AppProject', 'ApplicationSet', 'ConfigMap']);
      for (const manifest of manifests) {
        const first = await applier.apply(manifest);
        const second = await applier.apply(manifest);
        expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
      }
    });

    describe('dev', () => {
      beforeAll(async () => {
        for (const manifest of byWave(globSync('charts/dev/**/*.yaml').map(read)))
          await retried(() => applier.apply(manifest));
        // A policy takes effect a moment after it was made.
        await vi.waitFor(
          async () => {
            const pod = podOf(deployment('producer'));
            for (const container of pod.spec.containers) container.image = 'nginx:latest';
            const bad = scaler();
            bad.metadata.name = 'probe';
            Object.assign(bad.spec, { mode: 'Full', shards: { min: 1, max: 5 } });
            expect(await refusal(applier.create(pod, { dryRun: true }))).toMatch(/by digest/);
            expect(await refusal(applier.create(bad, { dryRun: true }))).toMatch(
              /spec.shards must be within/,
            );
          },
          { timeout: 15_000, interval: 200 },
        );
      });

      it.each([
        ['by its tag', (image: string) => image.replace(/@.*/, ':v1')],
        ['by tag and digest', (image: string) => image.replace('@', ':v1@')],
        ['from another registry', () => `docker.io/weir/producer@${DIGEST}`],
        ['of another repository', (image: string) => image.replace('/weir/', '/weirdo/')],
        ['behind a dot that is any letter', (image: string) => image.replace('.dkr.', 'xdkrx')],
      ])('refuses an image %s, in a pod and in a Deployment', async (_, change) => {
        const workload = deployment('producer');
        for (const container of (workload.spec as { template: PodTemplate }).template.spec.containers)
          container.image = change(container.image);
        const pod = podOf(workload);
        expect(await refusal(applier.create(pod, { dryRun: true }))).toMatch(/must be Weir's own, by digest/);
        expect(await refusal(applier.apply(workload, { dryRun: true }))).toMatch(
          /must be Weir's own, by digest/,
        );
      });

      it('refuses an image that is slipped in beside a running pod', async () => {
        const pod = podOf(deployment('producer'));
        const stored = await applier.create(pod);
        const debug = { ...pod.spec.containers[0], name: 'debug', image: 'busybox:latest' };
        for (const field of [
          'livenessProbe',
          'readinessProbe',
          'startupProbe',
          'lifecycle',
          'ports',
          'resources',
        ])
          delete (debug as Record<string, unknown>)[field];
        const spec = { ...(stored.spec as object), ephemeralContainers: [debug] };
        const change = applier.replace({ ...stored, spec }, { subresource: 'ephemeralcontainers' });
        expect(await refusal(change)).toMatch(/must be Weir's own, by digest/);
        await applier.delete(pod);
      });

      it('refuses a pod without seccomp, by Pod Security', async () => {
        const pod = podOf(deployment('producer'));
        delete pod.spec.securityContext.seccompProfile;
        expect(await refusal(applier.create(pod, { dryRun: true }))).toMatch(/PodSecurity.*seccompProfile/);
      });

      it.each<[string, Record<string, unknown>, RegExp]>([
        ['more replicas', { replicas: { min: 1, max: 5 } }, /spec.replicas must be within 1 and 4/],
        ['fewer replicas', { replicas: { min: 0, max: 4 } }, /spec.replicas must be within 1 and 4/],
        ['more shards', { shards: { min: 1, max: 5 } }, /spec.shards must be within 1 and 4/],
        ['another stream', { stream: { name: 'payments' } }, /spec.stream must be anomaly-stream/],
        [
          'a stream by its ARN',
          { stream: { arn: 'arn:aws:kinesis:ap-south-1:999999999999:stream/anomaly-stream' } },
          /spec.stream must be anomaly-stream/,
        ],
        [
          'an endpoint of its own',
          { stream: { name: 'anomaly-stream', endpoint: 'https://elsewhere.example' } },
          /without an endpoint/,
        ],
        [
          "another group's leases",
          { consumer: { leaseTable: 'payments-leases' } },
          /spec.consumer.leaseTable/,
        ],
      ])('refuses a StreamScaler with %s', async (_, spec, message) => {
        const changed = scaler();
        // Another one: a stream can't be changed in any case.
        changed.metadata.name = 'other';
        Object.assign(changed.spec, spec);
        expect(await refusal(applier.create(changed, { dryRun: true }))).toMatch(message);
      });

      it('leaves the replicas to the scaler, whoever applies the manifests again', async () => {
        const consumer = deployment('consumer');
        const replicas = async () => (await applier.get(consumer)).spec as { replicas: number };
        const scale = await applier.get(consumer, { subresource: 'scale' });
        await applier.replace(consumer, { subresource: 'scale', body: { ...scale, spec: { replicas: 3 } } });
        await applier.apply(consumer);
        await applier.apply(consumer, { manager: 'somebody-else' });
        expect(await replicas()).toMatchObject({ replicas: 3 });
        // With a number in the manifest it would not hold.
        const fixed = { ...consumer, spec: { ...(consumer.spec as object), replicas: 1 } };
        await applier.apply(fixed, { manager: 'somebody-else' });
        expect(await replicas()).toMatchObject({ replicas: 1 });
      });

      it('can not change a selector, which therefore never follows from the name of a construct', async () => {
        const consumer = deployment('consumer');
        const spec = structuredClone(consumer.spec) as {
          selector: { matchLabels: Record<string, string> };
          template: PodTemplate;
        };
        spec.selector.matchLabels = { 'cdk8s.io/metadata.addr': 'chart-c8' };
        spec.template.metadata.labels = spec.selector.matchLabels;
        expect(await refusal(applier.apply({ ...consumer, spec }))).toMatch(/field is immutable/);
      });

      it('does not take a status whose field only the controller has renamed', async () => {
        const { apiVersion, kind, metadata } = scaler();
        const status = (lag: object) => ({
          apiVersion,
          kind,
          metadata: { name: metadata.name, namespace: metadata.namespace ?? '' },
          status: { observedGeneration: 1, lag: { observedAt: '2026-01-01T00:00:00Z', ...lag } },
        });
        const counts = { shards: 1, unknownShards: 0, undrainedParents: 0 };
        await applier.apply(status({ maxSeconds: 1, ...counts }), { subresource: 'status' });
        const renamed = applier.apply(status({ worstSeconds: 1, ...counts }), { subresource: 'status' });
        expect(await refusal(renamed)).toMatch(/field not declared in schema/);
      });

      it('serves the StreamScaler that the code knows', async () => {
        const crd = read('charts/dev/platform/customresourcedefinition-streamscalers.yaml');
        expect(crd.spec).toEqual(STREAM_SCALER_CRD.spec);
      });
    });
  });
});
