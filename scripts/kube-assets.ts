/**
 * `npm run kube:assets [-- <tool>… crds]`: builds what tests/kube needs (etcd, Kubernetes, Argo CD, actionlint, the definitions of other projects' kinds) from Go modules into
 * `~/.cache/weir/`, unless it is there (or in `KUBEBUILDER_ASSETS`) already. Needs Go 1.25 or newer and the Go module proxy;
 * about seven minutes on two cores the first time, half of it for Argo CD.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  CRD_SOURCES,
  cacheFolder,
  crdFile,
  findTool,
  moduleFolder,
  moduleVersion,
  TEST_TOOLS,
  TOOLS,
} from '../tests/kube/assets.ts';

/** Beside the names of tools: definitions of other projects' kinds. */
const CRDS = 'crds';
const named = process.argv.length > 2 ? process.argv.slice(2) : [...TEST_TOOLS, CRDS];
const wanted = named.filter((name) => name !== CRDS);
const unknown = wanted.filter((name) => !(name in TOOLS));
if (unknown.length > 0) {
  console.error(`no such tool: ${unknown.join(', ')}; there are ${[...Object.keys(TOOLS), CRDS].join(', ')}`);
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
if (named.includes(CRDS)) bringCrds();
for (const name of wanted) console.log(findTool(name));

/** Copies the kinds' definitions out of their modules, which `go` checks against its checksum database. */
function bringCrds(): void {
  for (const source of CRD_SOURCES) {
    const wantedFiles = source.files.filter((file) => !existsSync(crdFile(source, file)));
    if (wantedFiles.length === 0) continue;
    const module = `${source.module}@${source.version}`;
    // Outside of any module of ours, whose go.mod has nothing to do with it.
    const { status, stdout, stderr } = spawnSync('go', ['mod', 'download', '-json', module], {
      cwd: tmpdir(),
      encoding: 'utf8',
      env: { ...process.env, GOFLAGS: '-mod=mod' },
    });
    if (status !== 0) {
      console.error(`${module} could not be downloaded: ${stderr ?? ''}${stdout ?? ''}`);
      process.exit(1);
    }
    const { Dir } = JSON.parse(stdout) as { Dir: string };
    for (const file of wantedFiles) {
      const target = crdFile(source, file);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(`${target}.partial`, readFileSync(join(Dir, file)));
      renameSync(`${target}.partial`, target);
      console.log(target);
    }
  }
}
