import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { matchesGlob } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { findTool } from './kube/assets.ts';
import { describeWithTools } from './kube/cluster.ts';

interface Step {
  name?: string;
  uses?: string;
  run?: string;
}

interface Job {
  permissions?: Record<string, string>;
  environment?: string;
  'timeout-minutes'?: number;
  steps: Step[];
}

interface Workflow {
  on: Record<string, { paths?: string[] } | null>;
  permissions?: object;
  concurrency?: { group: string };
  jobs: Record<string, Job>;
}

const FILES = globSync('.github/workflows/*.yml').sort();
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
/** What a step may run besides npm scripts, which run the same on a laptop. */
const OTHER_COMMANDS = [
  /^npm ci$/,
  /^git diff --exit-code charts\/$/,
  /^cosign sign --yes "\$\(cat "digests\/\$IMAGE"\)"$/,
];

const read = (file: string) => parse(readFileSync(file, 'utf8')) as Workflow;
const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps }) => steps);

describe.each(FILES)('%s', (file) => {
  const text = readFileSync(file, 'utf8');
  const workflow = read(file);

  it('names each action by its commit, and says which version that is', () => {
    const uses = text.split('\n').filter((line) => /^\s*-? ?uses:/.test(line));
    expect(uses.length).toBeGreaterThan(0);
    for (const line of uses) expect(line).toMatch(/uses: [\w-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    // One version of an action everywhere.
    const everywhere = FILES.flatMap((other) => [
      ...readFileSync(other, 'utf8').matchAll(/uses: (\S+)@(\S+)/g),
    ]);
    for (const [, action, commit] of everywhere)
      if (text.includes(`uses: ${action}@`)) expect(text).toContain(`${action}@${commit}`);
  });

  it('gives no right that a job does not name, and no secret', () => {
    expect(workflow.permissions).toEqual({});
    for (const { permissions } of Object.values(workflow.jobs)) {
      expect(permissions).toHaveProperty('contents');
      expect(Object.keys(permissions ?? {})).not.toContain('write-all');
    }
    expect(text).not.toContain('secrets.');
    expect(text).not.toContain('pull_request_target');
  });

  it('assumes a role only inside of an environment, whose rules guard it', () => {
    for (const { permissions, environment } of Object.values(workflow.jobs))
      expect(permissions?.['id-token'] === 'write').toBe(environment !== undefined);
  });

  it('has one run at a time of what must not overlap, and ends what hangs', () => {
    expect(workflow.concurrency?.group).toMatch(/./);
    for (const job of Object.values(workflow.jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });

  it('runs npm scripts that exist, and pastes no expression into a shell', () => {
    for (const { run } of stepsOf(workflow)) {
      if (run === undefined) continue;
      expect(run).not.toContain('${{');
      for (const command of run
        .trim()
        .split(/\n|&&/)
        .map((part) => part.trim())) {
        const [, script] = /^npm (?:run )?([\w:]+)/.exec(command) ?? [];
        if (OTHER_COMMANDS.some((pattern) => pattern.test(command))) continue;
        expect(command, 'no npm script').toMatch(/^npm /);
        expect(scripts).toHaveProperty([script ?? '']);
      }
    }
  });
});

it('what the images workflow commits does not start it again', () => {
  const { paths = [] } = read('.github/workflows/images.yml').on.push ?? {};
  for (const committed of ['cdk8s/images.json', 'charts/dev/producer/deployment.yaml'])
    expect(paths.filter((pattern) => matchesGlob(committed, pattern))).toEqual([]);
  for (const source of ['services/producer/main.ts', 'Dockerfile.consumer', 'package-lock.json'])
    expect(paths.some((pattern) => matchesGlob(source, pattern))).toBe(true);
});

it('CODEOWNERS gives production to its owners, and no later line takes it away', () => {
  const rules = readFileSync('.github/CODEOWNERS', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('/') || line.startsWith('*'))
    .map((line) => line.trim().split(/\s+/));
  const owners = (path: string) =>
    rules.findLast(([pattern = '']) => pattern === '*' || `/${path}`.startsWith(pattern))?.slice(1);
  for (const path of ['charts/prod/producer/deployment.yaml', 'cdk8s/environments/prod.ts'])
    expect(owners(path)).toEqual(['@weir-dev/production']);
  expect(owners('charts/dev/producer/deployment.yaml')).not.toContain('@weir-dev/production');
});

describeWithTools('of workflows by actionlint', 'actionlint')('actionlint', () => {
  it('finds nothing', () => {
    const program = findTool('actionlint') ?? '';
    expect(
      execFileSync(program, ['-no-color', '-shellcheck=', '-pyflakes=', ...FILES], { encoding: 'utf8' }),
    ).toBe('');
  });
});
