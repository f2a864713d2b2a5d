import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { streamScalerStatus } from '../../cdk8s/crd/status.ts';
import { PAUSED_ANNOTATION } from '../../cdk8s/crd/stream-scaler.ts';
import { findTool } from './assets.ts';

const FOLDER = new URL('../../cdk8s/argocd/resource_customizations/weir.dev/StreamScaler/', import.meta.url);
const read = (path: string) => parse(readFileSync(new URL(path, FOLDER), 'utf8'));

const program = findTool('lua-health');
if (program === undefined && process.env.REQUIRE_KUBE === '1')
  throw new Error('lua-health is missing: npm run kube:assets');

const { tests } = read('health_test.yaml') as {
  tests: { healthStatus: { status: string; message: string }; inputPath: string }[];
};

describe('the health check of a StreamScaler', () => {
  it.skipIf(program === undefined)('says in Lua, as Argo CD runs it, what its fixtures say', () => {
    const script = new URL('health.lua', FOLDER).pathname;
    const input = JSON.stringify(tests.map(({ inputPath }) => read(inputPath)));
    const answers = JSON.parse(execFileSync(program ?? '', [script], { input, encoding: 'utf8' }));
    expect(answers.map((healthStatus: object, i: number) => ({ ...tests[i], healthStatus }))).toEqual(tests);
  });

  it('has fixtures that the definition allows, and each of them is used', () => {
    for (const { inputPath } of tests) {
      const { status } = read(inputPath) as { status?: unknown };
      if (status !== undefined) expect(streamScalerStatus.strict().parse(status), inputPath).toBeTruthy();
    }
    expect(tests.map(({ inputPath }) => inputPath.replace('testdata/', '')).sort()).toEqual(
      readdirSync(new URL('testdata', FOLDER)).sort(),
    );
    expect(readFileSync(new URL('health.lua', FOLDER), 'utf8')).toContain(
      `annotations["${PAUSED_ANNOTATION}"]`,
    );
  });
});
