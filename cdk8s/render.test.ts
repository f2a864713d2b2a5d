import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { VARIATIONS } from '../infra/testing/variations.ts';
import { detectionEnv, detectorParameters } from '../services/consumer/config.ts';
import { loadDetector } from '../services/detectors/registry.ts';
import { parseEnv } from '../services/shared/config.ts';
import { CLUSTER_KINDS, SCALED_DEPLOYMENTS } from './apps/argocd.ts';
import { compare, write } from './charts-folder.ts';
import { dev } from './environments/dev.ts';
import { environments } from './environments/environments.ts';
import { prod } from './environments/prod.ts';
import { defineEnvironment, type Environment } from './environments/schema.ts';
import { find, objectsOf } from './fixtures.ts';
import { imageReference, parseDigests } from './images.ts';
import { renderCharts } from './render.ts';
import { violations } from './rules.ts';
import { WAVE_ANNOTATION, waveOf } from './waves.ts';

const CHARTS = fileURLToPath(new URL('../charts/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'charts-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Lines of the files that differ, as a reviewer sees them. */
function changedLines(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>) {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  return Object.fromEntries(
    paths
      .filter((path) => before.get(path) !== after.get(path))
      .map((path) => {
        const old = new Set(before.get(path)?.split('\n'));
        return [
          path,
          after
            .get(path)
            ?.split('\n')
            .filter((line) => !old.has(line))
            .map((line) => line.trim()),
        ];
      }),
  );
}

describe('charts/', () => {
  it('is what cdk8s/ renders, and nothing else: npm run synth', () => {
    expect(compare(CHARTS, renderCharts(environments))).toEqual({ changed: [], stale: [] });
  });

  it('is the same each time, whatever came before', () => {
    const files = renderCharts(environments);
    expect(
      [...renderCharts([...environments].reverse())].filter(([path]) => !path.startsWith('argocd')),
    ).toEqual([...files].filter(([path]) => !path.startsWith('argocd')));
    expect([...files.keys()]).toEqual([...files.keys()].sort());
  });

  it('is written and swept: a changed, a missing and a stale file are seen and mended', () => {
    const rendered = new Map([
      ['dev/a/one.yaml', '1\n'],
      ['dev/a/two.yaml', '2\n'],
    ]);
    for (const [path, text] of [
      ['dev/a/one.yaml', 'by hand\n'],
      ['dev/gone/old.yaml', 'old\n'],
    ] as const) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const differences = { changed: ['dev/a/one.yaml', 'dev/a/two.yaml'], stale: ['dev/gone/old.yaml'] };
    expect(compare(folder, rendered)).toEqual(differences);
    expect(write(folder, rendered)).toEqual(differences);
    expect(compare(folder, rendered)).toEqual({ changed: [], stale: [] });
    expect(readdirSync(join(folder, 'dev/a')).sort()).toEqual(['one.yaml', 'two.yaml']);
  });

  it('shows a changed field as a small diff', () => {
    const changed = defineEnvironment({ ...dev, detection: { detector: 'threshold', threshold: 900 } });
    const lines = changedLines(renderCharts([dev]), renderCharts([changed]));
    const name = expect.stringMatching(/^name: weir-consumer-[0-9a-f]{8}$/);
    expect(lines).toEqual({
      'dev/consumer/configmap.yaml': [name, 'THRESHOLD: "900"'],
      'dev/consumer/deployment.yaml': [name],
    });
  });
});

describe.each(Object.entries(VARIATIONS))('%s', (_, env) => {
  const objects = objectsOf(env);

  it('keeps the rules of the house', () => {
    expect(violations(objects)).toEqual([]);
  });

  it('holds outside of its namespace only what the AppProject allows', () => {
    const outside = objects
      .filter((o) => o.metadata.namespace === undefined)
      .map((o) => ({ group: o.apiVersion.includes('/') ? o.apiVersion.split('/')[0] : '', kind: o.kind }));
    for (const kind of outside) expect(CLUSTER_KINDS).toContainEqual(kind);
    for (const object of objects) {
      const { namespace } = object.metadata;
      if (namespace !== undefined) expect(namespace, object.metadata.name).toBe(env.namespace);
    }
  });

  it('gives Argo CD the Deployments whose replicas are not its own', () => {
    const scaled = objects.filter(
      (o) => o.kind === 'Deployment' && (o.spec as { replicas?: number }).replicas === undefined,
    );
    for (const { metadata } of scaled) expect(SCALED_DEPLOYMENTS).toContain(metadata.name);
    for (const { kind, metadata } of objects)
      expect(metadata.annotations?.[WAVE_ANNOTATION]).toBe(waveOf(kind));
  });

  it('opens the network for what is there and for nothing else', () => {
    const text = JSON.stringify(objects.filter((o) => o.kind === 'NetworkPolicy'));
    expect(text.includes('169.254.170.23/32')).toBe(env.podCredentials.kind === 'pod-identity');
    const callsTheApi = objects.filter(
      (o) => o.kind === 'NetworkPolicy' && JSON.stringify(o).includes(env.apiServerCidrs[0] ?? ''),
    );
    for (const { metadata } of callsTheApi) {
      const { spec } = find(objects, 'Deployment', metadata.name) as {
        spec?: { template?: { spec?: { automountServiceAccountToken?: boolean } } };
      };
      expect(spec?.template?.spec?.automountServiceAccountToken).toBe(true);
    }
  });

  it('has an Ingress or an HTTPRoute, as it says', () => {
    const kinds = new Set(objects.map(({ kind }) => kind));
    expect(kinds.has('Ingress')).toBe(env.producer.ingress.kind === 'alb');
    expect(kinds.has('HTTPRoute')).toBe(env.producer.ingress.kind === 'gateway');
  });
});

describe('what an environment chooses', () => {
  const chosen = Object.values(VARIATIONS).find(({ stage }) => stage !== undefined) as Environment;
  const objects = objectsOf(chosen);
  const variables = (app: string) => {
    const config = objects.find(
      (o) => o.kind === 'ConfigMap' && new RegExp(`^weir-${app}-[0-9a-f]{8}$`).test(o.metadata.name),
    );
    return (config as unknown as { data: Record<string, string> }).data;
  };
  // biome-ignore lint/suspicious/noExplicitAny: a manifest's fields have no types
  const podOf = (name: string): any => (find(objects, 'Deployment', name) as any).spec.template.spec;
  const egressOf = (name: string) =>
    (find(objects, 'NetworkPolicy', name) as unknown as { spec: { egress: object[] } }).spec.egress;

  it('is scored by its champion and challengers, of which each is made as the pod will make it', async () => {
    const config = parseEnv(detectionEnv, variables('consumer'));
    expect(config).toMatchObject({
      DETECTOR: 'adaptive',
      CHALLENGERS: ['keen', 'pump'],
      CHALLENGER_LIMIT_MICROS: 500,
    });
    const [container] = podOf('weir-consumer').containers;
    const mounted = new Map<string, Buffer>();
    for (const volume of podOf('weir-consumer').volumes) {
      const { mountPath } = container.volumeMounts.find((m: { name: string }) => m.name === volume.name);
      const { binaryData } = find(objects, 'ConfigMap', volume.configMap.name) as unknown as {
        binaryData: Record<string, string>;
      };
      for (const [file, base64] of Object.entries(binaryData))
        mounted.set(`${mountPath}/${file}`, Buffer.from(base64, 'base64'));
    }
    const readModel = async (path: string) => {
      const bytes = mounted.get(path);
      if (!bytes) throw new Error(`${path} is not in the pod`);
      return bytes;
    };
    for (const name of [config.DETECTOR, ...config.CHALLENGERS])
      expect((await loadDetector(name, detectorParameters(config), { readModel })).name).toBe(name);
  });

  it('is rendered with its model or not at all', () => {
    const model = (path: string) => ({
      ...chosen,
      detection: { detector: 'onnx', threshold: 1, params: { onnx: { model: path } } },
    });
    expect(() => objectsOf(model('models/none.onnx'))).toThrow(
      /prod-singapore: model of detector onnx: ENOENT.*models\/none\.onnx/,
    );
    const large = join(folder, 'large.onnx');
    writeFileSync(large, Buffer.alloc(1024 * 1024 + 1));
    const path = relative(fileURLToPath(new URL('../', import.meta.url)), large);
    expect(() => objectsOf(model(path))).toThrow(/models of 1048577 bytes are more than a ConfigMap holds/);
    const inImage = objectsOf(model('/models/pump.onnx'));
    expect(inImage.filter(({ metadata }) => metadata.name.includes('models'))).toEqual([]);
    expect(JSON.stringify(inImage)).toContain('/models/pump.onnx');
  });

  it('lets in by tokens, without a key file', () => {
    expect(variables('producer')).toMatchObject({
      AUTH: 'jwt',
      JWT_ISSUER: 'https://login.weir.example',
      JWT_AUDIENCE: 'weir',
      JWT_JWKS_URL: 'https://login.weir.example/.well-known/jwks.json',
      JWT_ALGORITHMS: 'ES256',
      JWT_SOURCES_CLAIM: 'scope',
      CORS_ORIGINS: 'https://app.weir.example,https://ops.weir.example',
    });
    expect(variables('producer')).not.toHaveProperty('AUTH_KEYS_FILE');
    expect(podOf('weir-producer')).not.toHaveProperty('volumes');
    expect(objects.filter(({ kind }) => kind === 'SecretProviderClass')).toEqual([]);
    const origins = { ...chosen, producer: { ...chosen.producer, corsOrigins: ['app.weir.example'] } };
    expect(() => objectsOf(origins)).toThrow(/CORS_ORIGINS="app.weir.example": expected/);
  });

  it('is traced by producer and consumer, to the collector and nowhere else', () => {
    const rule = {
      to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'observability' } } }],
      ports: [{ port: 4318, protocol: 'TCP' }],
    };
    for (const app of ['producer', 'consumer']) {
      expect(variables(app)).toMatchObject({
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector.observability.svc:4318',
        OTEL_TRACES_SAMPLER_ARG: '0.1',
      });
      expect(egressOf(`weir-${app}`)).toContainEqual(rule);
    }
    for (const app of ['console', 'controller']) expect(egressOf(`weir-${app}`)).not.toContainEqual(rule);
    const outside = { ...chosen, tracing: { endpoint: 'https://traces.vendor.example', ratio: 1 } };
    expect(JSON.stringify(objectsOf(outside).filter((o) => o.kind === 'NetworkPolicy'))).toBe(
      JSON.stringify(objectsOf({ ...chosen, tracing: undefined }).filter((o) => o.kind === 'NetworkPolicy')),
    );
  });

  it("runs its stage's images, and writes metrics into the log", () => {
    expect(variables('consumer').METRICS_EMF).toBe('true');
    const image = (env: Environment) => imageReference(env, 'consumer');
    expect(image(chosen)).toBe(image(prod));
  });
});

describe('cdk8s/images.json', () => {
  it('takes digests only', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const one = { producer: digest, consumer: digest, controller: digest };
    expect(parseDigests({ dev: one, staging: one, prod: one })).toBeTruthy();
    expect(() => parseDigests({ dev: one, staging: one, prod: { ...one, producer: 'v1.2.3' } })).toThrow(
      /prod\.producer: expected sha256/,
    );
  });
});
