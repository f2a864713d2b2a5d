import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { consoleEnv } from '../services/console/config.ts';
import { consumerEnv } from '../services/consumer/config.ts';
import { controllerEnv } from '../services/controller/config.ts';
import { producerEnv } from '../services/producer/config.ts';
import type { EnvShape } from '../services/shared/config.ts';

const run = promisify(execFile);

const FORBIDDEN_OF_SERVICES = [
  ['shared', '../producer/config.ts'],
  ['shared', '../testkit/stack.ts'],
  ['detectors', '../consumer/record.ts'],
  ['detectors', 'node:fs'],
  ['producer', '../consumer/config.ts'],
  ['producer/http', '../../detectors/registry.ts'],
  ['producer', '../testkit/stack.ts'],
  ['consumer', '../producer/config.ts'],
  ['consumer/sinks', '../../producer/errors.ts'],
  ['consumer/fetch', './fixtures.ts'],
  ['consumer', './pipeline/fixtures.ts'],
  ['testkit', '../producer/errors.ts'],
  // What is deployed, or looks at it, is not built on what deploys it.
  ...['shared', 'detectors', 'producer', 'consumer', 'controller', 'console', 'cli', 'testkit'].flatMap(
    (service) => [
      [service, '../../infra/stacks/data.ts'] as const,
      [service, '../../cdk8s/environments/names.ts'] as const,
    ],
  ),
  ['controller/runtime', '../../../cdk8s/crd/stream-scaler.ts'],
] as const;
const ALLOWED_OF_SERVICES = [
  ['producer/http', '../../shared/clock.ts'],
  ['consumer', '../detectors/registry.ts'],
  ['testkit', '../shared/clock.ts'],
  ['shared/kcl', '../errors.ts'],
  ['controller/keda', '../../../cdk8s/crd/stream-scaler.ts'],
  ['console', '../../cdk8s/crd/status.ts'],
  ['cli', '../consumer/config.ts'],
  ['cli', '../../local/demo/options.ts'],
] as const;
const inServices = (probes: readonly (readonly [string, string])[]) =>
  probes.map(([at, specifier]) => [`services/${at}`, specifier] as const);
/** Folder and what a file in it imports. */
const FORBIDDEN = [
  ...inServices(FORBIDDEN_OF_SERVICES),
  ['cdk8s/apps', '../../services/consumer/worker.ts'],
  ['cdk8s/apps', '../../services/controller/streamscaler/reconciler.ts'],
  ['cdk8s/monitoring', '../../services/testkit/stack.ts'],
  ['cdk8s/environments', '../../infra/stacks/data.ts'],
  ['cdk8s', '../scripts/images.ts'],
  ['cdk8s/crd', '../../services/shared/config.ts'],
  ['cdk8s/crd', '../environments/names.ts'],
  ['infra/stacks', '../../services/consumer/worker.ts'],
  ['infra/stacks', '../../services/consumer/config.ts'],
  ['infra', '../cdk8s/apps/consumer.ts'],
  ['local', '../infra/stacks/data.ts'],
  ['local/demo', '../../bench/run.ts'],
  ['bench', '../infra/stacks/data.ts'],
  ['bench', '../cdk8s/apps/consumer.ts'],
] as const;
const ALLOWED = [
  ...inServices(ALLOWED_OF_SERVICES),
  ['cdk8s/apps', '../../services/consumer/config.ts'],
  ['cdk8s/monitoring', '../../services/controller/streamscaler/metrics.ts'],
  ['cdk8s/constructs', '../../services/controller/streamscaler/rbac.ts'],
  ['cdk8s/environments', '../../services/shared/config.ts'],
  ['infra/constructs', '../../services/consumer/aws-calls.ts'],
  ['infra', '../cdk8s/environments/names.ts'],
  ['infra/stacks', '../../services/shared/tables.ts'],
  ['local', '../services/testkit/emulators.ts'],
  ['bench', '../services/consumer/pipeline/decode.ts'],
] as const;

describe('the house', () => {
  it('does not let a folder import what docs/architecture.md forbids', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'house-'));
    const probe = async (path: string, specifier: string) => {
      await mkdir(join(folder, dirname(path)), { recursive: true });
      await writeFile(join(folder, path), `export * from '${specifier}';\n`);
    };
    await copyFile('biome.json', join(folder, 'biome.json'));
    for (const [i, [at, specifier]] of FORBIDDEN.entries()) await probe(`${at}/forbidden${i}.ts`, specifier);
    for (const [i, [at, specifier]] of ALLOWED.entries()) await probe(`${at}/allowed${i}.ts`, specifier);
    const biome = resolve('node_modules/.bin/biome');
    const args = [
      'lint',
      '--vcs-enabled=false',
      '--colors=off',
      '--max-diagnostics=100',
      '--only=style/noRestrictedImports',
      '.',
    ];
    const { stderr, stdout } = await run(biome, args, { cwd: folder }).catch((error) => error);
    await rm(folder, { recursive: true });
    const found = new Set(
      [
        ...`${stdout}${stderr}`.matchAll(
          /((?:services|cdk8s|infra|local|bench)\/\S+\.ts):\d+:\d+ lint\/style\/noRestrictedImports/g,
        ),
      ].map(([, path]) => path),
    );
    expect([...found].sort()).toEqual(FORBIDDEN.map(([at], i) => `${at}/forbidden${i}.ts`).sort());
  });

  it('has a lock file that names every optional platform package, so that npm ci works anywhere', () => {
    const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string>; resolved?: string }>;
    };
    const paths = Object.keys(packages);
    for (const [path, { optionalDependencies = {}, resolved }] of Object.entries(packages)) {
      expect(resolved, `${path} names a registry`).toBeUndefined();
      for (const name of Object.keys(optionalDependencies)) {
        expect(
          paths.some((p) => p.endsWith(`node_modules/${name}`)),
          `${name} is missing: npm run lock`,
        ).toBe(true);
      }
    }
  });

  it('has fresh generated references', async () => {
    await run(process.execPath, ['scripts/docs.ts', '--check']);
  });

  it('lets nothing in a pod write to standard output past its log, whose lines would be torn', () => {
    const pods = ['shared', 'producer', 'consumer', 'controller', 'console'];
    const files = pods
      .flatMap((folder) =>
        readdirSync(`services/${folder}`, { recursive: true, encoding: 'utf8' }).map(
          (file) => `services/${folder}/${file}`,
        ),
      )
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
    const writing = files.filter((file) =>
      /process\.stdout\.write|console\.(log|info)\(/.test(readFileSync(file, 'utf8')),
    );
    // A function's lines are Lambda's own.
    expect(writing).toEqual(['services/consumer/lambda.ts']);
  });

  it('numbers each decision once', () => {
    const numbers = readdirSync('docs/adr').map((file) => file.slice(0, 4));
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const file of readdirSync('docs/adr'))
      expect(readFileSync(`docs/adr/${file}`, 'utf8')).toMatch(
        new RegExp(`^# ${Number(file.slice(0, 4))}\\. `),
      );
  });

  it('takes no time from its environment that a timer can not wait', () => {
    const times = [producerEnv, consumerEnv, controllerEnv, consoleEnv].flatMap((env: EnvShape) =>
      Object.entries(env).filter(([name]) => name.endsWith('_MS')),
    );
    expect(times.length).toBeGreaterThan(15);
    for (const [name, schema] of times) expect(schema.safeParse(String(2 ** 31)).success, name).toBe(false);
  });

  it('has an architecture page whose paths exist', () => {
    const page = readFileSync('docs/architecture.md', 'utf8');
    const paths = [...page.matchAll(/`((?:services|local|tests|bench|scripts|docs)\/[\w./-]*)`/g)].map(
      ([, path = '']) => path,
    );
    expect(paths.length).toBeGreaterThan(20);
    for (const path of paths) {
      if (path.endsWith('/')) expect(readdirSync(path).length, path).toBeGreaterThan(0);
      else expect(readFileSync(path, 'utf8').length, path).toBeGreaterThan(0);
    }
  });

  it('has a job in its architecture page for each folder of services and manifests', () => {
    const page = readFileSync('docs/architecture.md', 'utf8');
    const rows = [...page.matchAll(/^\| `([\w/-]+)\/` +\|/gm)].map(([, folder]) => folder);
    const folders = ['services', 'cdk8s'].flatMap((parent) =>
      readdirSync(parent, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => `${parent}/${name}`),
    );
    expect(folders).toContain('services/controller');
    expect(folders.filter((folder) => !rows.includes(folder))).toEqual([]);
  });

  it('builds bundles that start without node_modules', { timeout: 60_000 }, async () => {
    await run(process.execPath, ['scripts/build.ts']);
    const folder = await mkdtemp(join(tmpdir(), 'bundle-'));
    for (const service of readdirSync('dist')) {
      const copy = join(folder, `${service}.mjs`);
      // Lambda loads a module, and an error of it is an exception there.
      const [file, code] = service === 'lambda' ? ['main.mjs', 1] : ['main.js', 78];
      await copyFile(`dist/${service}/${file}`, copy);
      // A bad configuration is the quickest way to see that all of it loads.
      const started = run(process.execPath, [copy], { env: { LOG_LEVEL: 'x' } });
      await expect(started).rejects.toMatchObject({ code, stderr: expect.stringContaining('LOG_LEVEL') });
    }
    await rm(folder, { recursive: true });
  });
});
