/**
 * `npm run synth`: renders `charts/` for all environments. With `-- --check` it writes nothing and exits with 1 when a file is
 * stale, missing, or there without being rendered.
 */
import { fileURLToPath } from 'node:url';
import { compare, write } from './charts-folder.ts';
import { environments } from './environments/environments.ts';
import { renderCharts } from './render.ts';

const folder = fileURLToPath(new URL('../charts/', import.meta.url));
const rendered = renderCharts(environments);

if (process.argv.includes('--check')) {
  const { changed, stale } = compare(folder, rendered);
  for (const path of changed) process.stderr.write(`charts/${path} is not what cdk8s/ renders\n`);
  for (const path of stale) process.stderr.write(`charts/${path} is not rendered by cdk8s/\n`);
  if (changed.length + stale.length > 0) {
    process.stderr.write('run "npm run synth" and commit charts/\n');
    process.exitCode = 1;
  }
} else {
  const { changed, stale } = write(folder, rendered);
  process.stdout.write(`${rendered.size} files, ${changed.length} written, ${stale.length} removed\n`);
}
