/**
 * `npm run images [-- --base IMAGE --tag TAG NAME…]`: builds the container images `weir/<name>` with Docker's BuildKit and prints
 * their sizes, as they are on the machine and compressed as a registry keeps them. CI builds the same Dockerfiles with buildx.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import { IMAGES } from '../tests/images/docker.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: 'string', default: process.env.WEIR_BASE_IMAGE ?? 'node:24-bookworm-slim' },
    tag: { type: 'string', default: 'local' },
  },
});
const names = positionals.length > 0 ? positionals : IMAGES;
const unknown = names.filter((name) => !IMAGES.includes(name));
if (unknown.length > 0) {
  console.error(`no such image: ${unknown.join(', ')}; there are ${IMAGES.join(', ')}`);
  process.exit(2);
}
const revision = spawnSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).stdout.trim() || 'unknown';

for (const name of names) {
  const image = `weir/${name}:${values.tag}`;
  const args = ['build', '--network', 'host', '--file', `Dockerfile.${name}`, '--tag', image];
  const buildArgs = [`BASE=${values.base}`, `VERSION=${packageJson.version}`, `REVISION=${revision}`];
  const { status } = spawnSync(
    'docker',
    [...args, ...buildArgs.flatMap((arg) => ['--build-arg', arg]), '.'],
    {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DOCKER_BUILDKIT: '1' },
    },
  );
  if (status !== 0) process.exit(status ?? 1);
  const size = Number(output('docker', ['image', 'inspect', image, '--format', '{{.Size}}']));
  const compressed = Number(output('sh', ['-c', `docker save '${image}' | gzip | wc -c`]));
  console.log(`${image}  ${megabytes(size)} MB, ${megabytes(compressed)} MB compressed`);
}

function output(command: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
  return stdout;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
