import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { dev } from '../environments/dev.ts';
import { environments } from '../environments/environments.ts';
import type { Environment } from '../environments/schema.ts';
import { CASES } from './cases.ts';
import { dashboard } from './dashboard.ts';
import { declaredMetrics } from './declared-metrics.ts';
import { FAST_SECONDS } from './objectives.ts';
import { FAILED_OUTCOMES } from './outcomes.ts';
import { type AlertRule, ruleGroups } from './rules.ts';

const rulesOf = (env: Environment) => ruleGroups(env).flatMap(({ rules }) => rules);
const alertsOf = (env: Environment) => rulesOf(env).filter((rule): rule is AlertRule => 'alert' in rule);

interface Panel {
  id: number;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string }[];
}
const panelsOf = (env: Environment) => (dashboard(env) as { panels: Panel[] }).panels;

/** Label names that no metric declares: of the scrape, and of Prometheus. */
const SCRAPED = ['pod', 'namespace', 'le', 'service'];

it('rules and panels name only metrics and labels that services declare', async () => {
  const declared = new Map([...(await declaredMetrics()).values()].flat().map((m) => [m.name, m.labels]));
  const recorded = environments.flatMap(rulesOf).flatMap((rule) => ('record' in rule ? [rule.record] : []));
  const expressions = environments.flatMap((env) => [
    ...rulesOf(env).map(({ expr }) => expr),
    ...panelsOf(env).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ]);
  let seen = 0;
  for (const expr of expressions) {
    const uses = expr.matchAll(/\b((?:weir|leader_election)[a-z_]*(?::[a-z_]+(?::\w+)?)?)(?:\{([^}]*)\})?/g);
    for (const [, name = '', selector = ''] of uses) {
      seen++;
      if (name.includes(':')) {
        expect(recorded).toContain(name);
        continue;
      }
      const base = name.replace(/_(bucket|count|sum)$/, '');
      const labels = declared.get(name) ?? declared.get(base);
      expect(labels, `${name} in ${expr}`).toBeDefined();
      const used = [...selector.matchAll(/(\w+)\s*=/g), ...expr.matchAll(/by \((\w+)\)/g)];
      for (const [, label] of used) expect([...(labels ?? []), ...SCRAPED], expr).toContain(label);
    }
  }
  expect(seen).toBeGreaterThan(50);
});

it('a fast answer is a bucket of the histogram; what counts against us are 5xx and throttles', async () => {
  const { LATENCY_BUCKETS_SECONDS } = await import('../../services/shared/metrics.ts');
  expect(LATENCY_BUCKETS_SECONDS).toContain(FAST_SECONDS);
  expect(FAILED_OUTCOMES).toEqual(expect.arrayContaining(['internal', 'sink-unavailable', 'throttled']));
  expect(FAILED_OUTCOMES).not.toContain('quota-exceeded');
});

it('each alert links a runbook that is there, and has cases in which it must fire and must not', () => {
  for (const env of environments) {
    for (const { alert, annotations } of alertsOf(env)) {
      const page = /docs\/runbooks\/[\w-]+\.md$/.exec(annotations.runbook_url)?.[0] ?? alert;
      expect(existsSync(page), `${alert}: ${page}`).toBe(true);
    }
  }
  const names = new Set(alertsOf(dev).map(({ alert }) => alert));
  for (const fires of [true, false]) {
    expect(new Set(CASES.filter((one) => one.fires === fires).map(({ alert }) => alert))).toEqual(names);
  }
});

it('the dashboard has panels that say what they show, and none lies upon another', () => {
  for (const env of environments) {
    const panels = panelsOf(env);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { targets, description } of panels) if (targets) expect(description).toBeTruthy();
  }
});
