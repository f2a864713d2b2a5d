/**
 * `npm run release -- …`: which images an environment runs. The workflows `images` and `promote` call nothing else, so that it
 * is the same on a laptop.
 *
 * - `record <environment> <folder>`: writes the digests in the folder's files (`<image>`: `<repository>@sha256:…`, as
 *   `npm run images -- --push --digests <folder>` leaves them) into `cdk8s/images.json`;
 * - `promote <environment>`: gives it the digests of the environment before it;
 * - `propose <environment>`: pushes what changed in `cdk8s/images.json` and `charts/` as a branch, and opens a pull request
 *   with `gh`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IMAGES, type Image, isStage, type Stage } from '../cdk8s/environments/names.ts';
import { repositoryUri } from '../cdk8s/environments/registry.ts';
import { type ImageDigests, parseDigests } from '../cdk8s/images.ts';
import { ConfigError } from '../services/shared/errors.ts';

const DIGESTS_FILE = 'cdk8s/images.json';
/** What a proposal may hold: an edit of anything else would ride along unseen. */
const PATHS = [DIGESTS_FILE, 'charts'];
/** Where an environment's images come from. */
const BEFORE: Readonly<Partial<Record<Stage, Stage>>> = { staging: 'dev', prod: 'staging' };
const NO_DIGEST = `sha256:${'0'.repeat(64)}`;
const USAGE = `usage: npm run release -- record <dev|staging|prod> <folder> | promote <staging|prod> | propose <dev|staging|prod>`;

/** The digests with those of `references` (`<repository>@sha256:…`) in an environment. @throws ConfigError for images that are not Weir's. */
export function record(
  digests: ImageDigests,
  to: Stage,
  references: Readonly<Record<string, string>>,
): ImageDigests {
  const changed: Partial<Record<Image, string>> = {};
  for (const [name, reference] of Object.entries(references)) {
    const image = IMAGES.find((known) => known === name);
    if (image === undefined)
      throw new ConfigError(`there is no image ${name}; there are ${IMAGES.join(', ')}`);
    const [repository, digest] = reference.trim().split('@');
    if (repository !== repositoryUri(image) || digest === undefined)
      throw new ConfigError(`${name}: expected ${repositoryUri(image)}@sha256:…, not ${reference.trim()}`);
    changed[image] = digest;
  }
  return parseDigests({ ...digests, [to]: { ...digests[to], ...changed } });
}

/** The digests with those of the environment before in `to`. @throws ConfigError when there is none, or it runs nothing yet. */
export function promote(digests: ImageDigests, to: Stage): ImageDigests {
  const from = BEFORE[to];
  if (from === undefined)
    throw new ConfigError(`${to} gets its images from a build, not from an environment`);
  const missing = IMAGES.filter((image) => digests[from][image] === NO_DIGEST);
  if (missing.length > 0) throw new ConfigError(`${from} has no image yet of ${missing.join(', ')}`);
  return { ...digests, [to]: { ...digests[from] } };
}

function readDigests(): ImageDigests {
  return parseDigests(JSON.parse(readFileSync(DIGESTS_FILE, 'utf8')));
}

function writeDigests(digests: ImageDigests): void {
  writeFileSync(DIGESTS_FILE, `${JSON.stringify(digests, null, 2)}\n`);
}

function referencesIn(folder: string): Record<string, string> {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  if (names.length === 0) throw new ConfigError(`${folder} holds no digest: nothing was built`);
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

/** Standard output of a program; its errors go where ours go. */
function output(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

/** One branch an environment: a newer proposal replaces the older one, so that nobody merges digests in the wrong order. */
function propose(to: Stage): void {
  if (output('git', 'status', '--porcelain', '--', ...PATHS) === '') {
    console.log(`${to} runs these images already: nothing to propose`);
    return;
  }
  const branch = `release/${to}`;
  const revision = output('git', 'rev-parse', '--short=12', 'HEAD');
  const title = `Images of ${to}, from ${BEFORE[to] ?? revision}`;
  output('git', 'switch', '--force-create', branch);
  output('git', 'add', '--', ...PATHS);
  output(
    'git',
    ...[
      '-c',
      'user.name=github-actions[bot]',
      '-c',
      'user.email=github-actions[bot]@users.noreply.github.com',
    ],
    ...['commit', '--quiet', '--message', title],
  );
  output('git', 'push', '--force', 'origin', branch);
  const open = output(
    'gh',
    'pr',
    'list',
    '--head',
    branch,
    '--state',
    'open',
    '--json',
    'url',
    '--jq',
    '.[].url',
  );
  const body = `Digests in \`${DIGESTS_FILE}\` and what \`npm run synth\` makes of them. Argo CD syncs ${to} when this is merged; to take it back, \`git revert\` the merge.`;
  if (open === '')
    output('gh', 'pr', 'create', '--base', 'main', '--head', branch, '--title', title, '--body', body);
  else output('gh', 'pr', 'edit', branch, '--title', title);
  // A pull request that a workflow opened starts no workflow by itself; a dispatch does, and its checks are the commit's.
  output('gh', 'workflow', 'run', 'ci.yml', '--ref', branch);
  console.log(`proposed: ${title}`);
}

function main([command, to, folder]: readonly string[]): void {
  if (!isStage(to)) throw new ConfigError(USAGE);
  if (command === 'record' && folder !== undefined)
    writeDigests(record(readDigests(), to, referencesIn(folder)));
  else if (command === 'promote') writeDigests(promote(readDigests(), to));
  else if (command === 'propose') propose(to);
  else throw new ConfigError(USAGE);
}

if (import.meta.main) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
