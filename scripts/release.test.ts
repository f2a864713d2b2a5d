import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { repositoryUri } from '../cdk8s/environments/registry.ts';
import type { ImageDigests } from '../cdk8s/images.ts';
import { promote, record } from './release.ts';

const run = promisify(execFile);
const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const all = (digit: string) => ({
  producer: digest(digit),
  consumer: digest(digit),
  controller: digest(digit),
});
const DIGESTS: ImageDigests = { dev: all('a'), staging: all('b'), prod: all('c') };

describe('record', () => {
  it('changes what was built, where it was built for', () => {
    const reference = `${repositoryUri('consumer')}@${digest('d')}\n`;
    expect(record(DIGESTS, 'dev', { consumer: reference })).toEqual({
      ...DIGESTS,
      dev: { ...all('a'), consumer: digest('d') },
    });
  });

  it.each([
    ['an image by its tag', { consumer: `${repositoryUri('consumer')}:latest` }],
    ['no digest', { consumer: `${repositoryUri('consumer')}@sha256:12` }],
    ["another's registry", { consumer: `evil.example/weir/consumer@${digest('d')}` }],
    ["another image's repository", { consumer: `${repositoryUri('producer')}@${digest('d')}` }],
    ['an image that is none of ours', { miner: `${repositoryUri('producer')}@${digest('d')}` }],
  ])('refuses %s', (_what, references) => {
    expect(() => record(DIGESTS, 'dev', references)).toThrow(/no image|expected/);
  });
});

describe('promote', () => {
  it.each([
    ['staging', 'dev'],
    ['prod', 'staging'],
  ] as const)('gives %s what %s runs, and changes nothing else', (to, from) => {
    expect(promote(DIGESTS, to)).toEqual({ ...DIGESTS, [to]: DIGESTS[from] });
  });

  it('refuses what was never built, and dev', () => {
    expect(() => promote({ ...DIGESTS, dev: all('0') }, 'staging')).toThrow(
      'dev has no image yet of producer',
    );
    expect(() => promote(DIGESTS, 'dev')).toThrow('from a build');
  });
});

describe('npm run release', () => {
  const script = resolve('scripts/release.ts');
  let folder: string;
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@weir.example', ...args], {
      cwd: join(folder, 'clone'),
      encoding: 'utf8',
    }).trim();
  const release = async (...words: string[]) =>
    await run(process.execPath, [script, ...words], {
      cwd: join(folder, 'clone'),
      // A `gh` that writes down what it is asked, and knows of no open pull request.
      env: {
        ...process.env,
        PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
        GH_LOG: join(folder, 'gh.log'),
      },
    });
  const asked = () => readFileSync(join(folder, 'gh.log'), 'utf8').trim().split('\n');

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weir-release-'));
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin', 'gh'), '#!/bin/sh\necho "$*" >>"$GH_LOG"\n', { mode: 0o755 });
    mkdirSync(join(folder, 'clone', 'cdk8s'), { recursive: true });
    execFileSync('git', ['init', '--quiet', '--bare', join(folder, 'origin')]);
    git('init', '--quiet', '--initial-branch=main');
    cpSync('charts', join(folder, 'clone', 'charts'), { recursive: true });
    writeFileSync(join(folder, 'clone', 'cdk8s', 'images.json'), JSON.stringify(DIGESTS));
    writeFileSync(join(folder, 'clone', 'notes'), 'not a part of a release');
    git('add', '--all');
    git('commit', '--quiet', '--message', 'begin');
    git('remote', 'add', 'origin', join(folder, 'origin'));
    git('push', '--quiet', 'origin', 'main');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('proposes the digests and the manifests, and nothing else that was changed', async () => {
    writeFileSync(join(folder, 'clone', 'notes'), 'changed');
    await release('promote', 'staging');
    const { stdout } = await release('propose', 'staging');
    expect(stdout).toContain('proposed: Images of staging, from dev');
    expect(git('diff', '--name-only', 'origin/main', 'origin/release/staging')).toBe('cdk8s/images.json');
    const pushed = JSON.parse(git('show', 'origin/release/staging:cdk8s/images.json'));
    expect(pushed).toEqual(promote(DIGESTS, 'staging'));
    expect(asked().map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'pr list',
      'pr create',
      'workflow run',
    ]);
  });

  it('replaces its own older proposal', async () => {
    await release('promote', 'staging');
    await release('propose', 'staging');
    git('switch', '--quiet', 'main');
    writeFileSync(
      join(folder, 'clone', 'cdk8s', 'images.json'),
      JSON.stringify({ ...DIGESTS, dev: all('e') }),
    );
    await release('promote', 'staging');
    await release('propose', 'staging');
    expect(git('rev-list', '--count', 'main..origin/release/staging')).toBe('1');
  });

  it('proposes nothing when nothing changed', async () => {
    const { stdout } = await release('propose', 'prod');
    expect(stdout).toContain('nothing to propose');
  });

  it('says what it takes', async () => {
    await expect(release('promote')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('usage: '),
    });
    await expect(release('record', 'dev', 'nowhere')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nothing was built'),
    });
  });
});
