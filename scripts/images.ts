/**
 * `npm run images [-- options NAME…]`: builds the container images `weir/<name>`.
 *
 * - Without more: with Docker's BuildKit, for this machine, as `weir/<name>:<tag>`; prints their sizes, as they are on the
 *   machine and compressed as a registry keeps them.
 * - `--oci FOLDER`: with buildx, each into `FOLDER/<name>`, an OCI layout that a scanner reads.
 * - `--push`: with buildx into our registry, with SBOM and provenance, by the tag `v<version>-<revision>`; one that is there
 *   already stays, tags being immutable. `--digests FOLDER` writes `<repository>@sha256:…` into `FOLDER/<name>`.
 *
 * The consumer's has ONNX Runtime in it when a detector of an environment needs it. The same revision gives the same layers; with buildx the same image digest too (times are the commit's).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { usesModels } from '../cdk8s/environments/detection.ts';
import { environments } from '../cdk8s/environments/environments.ts';
import { IMAGES, type Image } from '../cdk8s/environments/names.ts';
import { repositoryUri } from '../cdk8s/environments/registry.ts';
import packageJson from '../package.json' with { type: 'json' };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: 'string', default: process.env.WEIR_BASE_IMAGE ?? 'node:24-bookworm-slim' },
    tag: { type: 'string', default: 'local' },
    'no-cache': { type: 'boolean', default: false },
    oci: { type: 'string' },
    push: { type: 'boolean', default: false },
    digests: { type: 'string' },
  },
});
const isImage = (name: string): name is Image => (IMAGES as readonly string[]).includes(name);
const unknown = positionals.filter((name) => !isImage(name));
if (unknown.length > 0) {
  console.error(`no such image: ${unknown.join(', ')}; there are ${IMAGES.join(', ')}`);
  process.exit(2);
}
const names = positionals.length > 0 ? positionals.filter(isImage) : IMAGES;
const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
const revision = git('rev-parse', 'HEAD') || 'unknown';

for (const name of names) {
  if (values.push) push(name);
  else if (values.oci) toLayout(name, values.oci);
  else toDocker(name);
}

function toDocker(name: Image): void {
  const image = `weir/${name}:${values.tag}`;
  build(['build', '--network', 'host'], name, ['--tag', image]);
  const size = Number(output('docker', ['image', 'inspect', image, '--format', '{{.Size}}']));
  const compressed = Number(output('sh', ['-c', `docker save '${image}' | gzip | wc -c`]));
  console.log(`${image}  ${megabytes(size)} MB, ${megabytes(compressed)} MB compressed`);
}

function toLayout(name: Image, folder: string): void {
  const dest = join(folder, name);
  mkdirSync(dest, { recursive: true });
  build(['buildx', 'build'], name, ['--output', `type=oci,dest=${dest},tar=false,rewrite-timestamp=true`]);
  console.log(dest);
}

function push(name: Image): void {
  const repository = repositoryUri(name);
  const image = `${repository}:v${packageJson.version}-${revision.slice(0, 12)}`;
  const digest = digestOf(image) ?? pushed(name, image);
  if (values.digests) {
    mkdirSync(values.digests, { recursive: true });
    writeFileSync(join(values.digests, name), `${repository}@${digest}\n`);
  }
  console.log(`${image}  ${digest}`);
}

/** What the registry has by that tag: of a run that was cut after its push. */
function digestOf(image: string): string | undefined {
  const args = ['buildx', 'imagetools', 'inspect', image, '--format', '{{.Manifest.Digest}}'];
  const { status, stdout } = spawnSync('docker', args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

function pushed(name: Image, image: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-image-'));
  const metadata = join(folder, 'metadata.json');
  build(['buildx', 'build'], name, [
    ...['--output', `type=image,name=${image},push=true,rewrite-timestamp=true`],
    ...['--sbom', 'true', '--provenance', 'mode=max', '--metadata-file', metadata],
  ]);
  const { 'containerimage.digest': digest } = JSON.parse(readFileSync(metadata, 'utf8'));
  rmSync(folder, { recursive: true });
  return digest;
}

function build(command: readonly string[], name: Image, args: readonly string[]): void {
  const onnx = name === 'consumer' && environments.some(({ detection }) => usesModels(detection));
  const buildArgs = [
    ...[`BASE=${values.base}`, `VERSION=${packageJson.version}`, `REVISION=${revision}`],
    ...(onnx ? ['ONNX=true'] : []),
  ];
  const { status } = spawnSync(
    'docker',
    [
      ...command,
      ...(values['no-cache'] ? ['--no-cache'] : []),
      ...['--file', `Dockerfile.${name}`],
      ...buildArgs.flatMap((arg) => ['--build-arg', arg]),
      ...args,
      '.',
    ],
    {
      stdio: ['ignore', 2, 2],
      env: {
        ...process.env,
        DOCKER_BUILDKIT: '1',
        // BuildKit's clock for the image's history and, with rewrite-timestamp, its files.
        SOURCE_DATE_EPOCH: git('log', '-1', '--format=%ct') || '0',
      },
    },
  );
  if (status !== 0) process.exit(status ?? 1);
}

function output(command: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
  return stdout;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
