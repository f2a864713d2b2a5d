/**
 * `npm run kube:assets [-- <tool>…]`: builds what tests/kube needs (etcd, Kubernetes, Argo CD, actionlint) from Go modules into
 * `~/.cache/weir/`, unless it is there (or in `KUBEBUILDER_ASSETS`) already. Needs Go 1.25 or newer and the Go module proxy;
 * about seven minutes on two cores the first time, half of it for Argo CD.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  cacheFolder,
  findTool,
  moduleFolder,
  moduleVersion,
  TEST_TOOLS,
  TOOLS,
} from '../tests/kube/assets.ts';

const wanted = process.argv.length > 2 ? process.argv.slice(2) : [...TEST_TOOLS];
const unknown = wanted.filter((name) => !(name in TOOLS));
if (unknown.length > 0) {
  console.error(`no such tool: ${unknown.join(', ')}; there are ${Object.keys(TOOLS).join(', ')}`);
  process.exit(2);
}
const missing = wanted.filter((name) => findTool(name) === undefined);
if (missing.length > 0 && spawnSync('go', ['version']).status !== 0) {
  console.error(
    `${missing.join(', ')} can't be built: there is no Go on this machine (https://go.dev/dl). ` +
      'Or set KUBEBUILDER_ASSETS to a folder that setup-envtest filled.',
  );
  process.exit(1);
}
for (const tool of new Set(missing.map((name) => TOOLS[name]))) {
  if (!tool) continue;
  const names = missing.filter((name) => TOOLS[name] === tool);
  const folder = cacheFolder(tool);
  const partial = join(folder, `.partial-${process.pid}`);
  mkdirSync(partial, { recursive: true });
  const version = moduleVersion(tool);
  console.log(`building ${names.join(', ')} ${version} …`);
  const startedAt = performance.now();
  // Several packages in one call share their dependencies' compilation.
  const { status } = spawnSync(
    'go',
    ['build', '-trimpath', `-ldflags=-s -w ${tool.ldflags(version)}`, '-o', `${partial}/`].concat(
      names.map((name) => tool.package ?? `./cmd/${name}`),
    ),
    {
      cwd: moduleFolder(tool),
      stdio: 'inherit',
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' },
    },
  );
  // Into place only when whole: a build that was cut must not pass for a program.
  if (status === 0) for (const name of names) renameSync(join(partial, name), join(folder, name));
  rmSync(partial, { recursive: true, force: true });
  if (status !== 0) process.exit(1);
  console.log(`built in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
}
for (const name of wanted) console.log(findTool(name));
