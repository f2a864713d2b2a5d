import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { dev } from '../../cdk8s/environments/dev.ts';
import { environments } from '../../cdk8s/environments/environments.ts';
import { type AlertCase, CASES } from '../../cdk8s/monitoring/cases.ts';
import { ruleGroups } from '../../cdk8s/monitoring/rules.ts';
import { findTool } from './assets.ts';

const promtool = findTool('promtool');
const folder = mkdtempSync(join(tmpdir(), 'weir-rules-'));
afterAll(() => rmSync(folder, { recursive: true }));

function run(...args: string[]): string {
  try {
    return execFileSync(promtool ?? 'promtool', args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${message}${stdout}${stderr}`);
  }
}

describe.skipIf(promtool === undefined && !process.env.REQUIRE_KUBE)(
  'alerting rules on promtool (left out without it: npm run kube:assets -- promtool)',
  () => {
    it('are rules that Prometheus takes, in each environment', () => {
      for (const env of environments) {
        writeFileSync(join(folder, `${env.name}.yaml`), stringify({ groups: ruleGroups(env) }));
        expect(run('check', 'rules', `${env.name}.yaml`)).toContain('SUCCESS');
      }
    });

    it.each(
      ruleGroups(dev)
        .map(({ name, rules }) => ({ name, alerts: rules.flatMap((r) => ('alert' in r ? [r.alert] : [])) }))
        .filter(({ alerts }) => alerts.length > 0),
    )('$name: each alert fires when it must, and only then', { timeout: 60_000 }, ({ name, alerts }) => {
      const cases = CASES.filter(({ alert }) => alerts.includes(alert));
      expect(run('test', 'rules', fileOf(name, cases))).toContain('SUCCESS');
    });

    it('notice a case that does not hold', () => {
      const [first] = CASES;
      if (!first) throw new Error('no cases');
      const wrong = [{ ...first, fires: !first.fires }];
      expect(() => run('test', 'rules', fileOf('weir-availability', wrong))).toThrow('FAILED');
    });
  },
);

/** A test file on one group's rules alone, each a minute apart: what promtool evaluates is what takes its time. */
function fileOf(group: string, cases: readonly AlertCase[]): string {
  const groups = ruleGroups(dev)
    .filter(({ name }) => name === group)
    .map(({ name, rules }) => ({ name, rules }));
  writeFileSync(join(folder, `${group}.rules.yaml`), stringify({ groups }));
  const tests = cases.map(({ alert, says, series, at, fires, severity }) => {
    const which = `alertname="${alert}",alertstate="firing"${severity ? `,severity="${severity}"` : ''}`;
    const expr = `(count(ALERTS{${which}}) > bool 0) or vector(0)`;
    return {
      name: `${alert}: ${says}`,
      interval: '1m',
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        { expr, eval_time: `${at}m`, exp_samples: [{ labels: '{}', value: fires ? 1 : 0 }] },
      ],
    };
  });
  const file = `${group}.tests.yaml`;
  writeFileSync(
    join(folder, file),
    stringify({ rule_files: [`${group}.rules.yaml`], evaluation_interval: '1m', tests }),
  );
  return file;
}
