import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { environments } from '../cdk8s/environments/environments.ts';
import {
  apiKeysSecretName,
  consumerGroups,
  failedBatchesBucket,
  LAMBDA_FUNCTION,
  parameterPrefix,
} from '../cdk8s/environments/names.ts';
import { tableNames } from '../services/shared/tables.ts';
import { commandsOf } from '../tests/commands-of.ts';
import { plan } from './cli.ts';

const run = promisify(execFile);
const GUIDE = 'docs/how-to/deploy-infrastructure.md';
/** The table that the guide on recovery makes. */
const RESTORED = 'anomaly-stream-records-restored';
const PAGES = globSync('docs/{runbooks,how-to}/*.md');

const commands = PAGES.flatMap((page) => commandsOf(page).map((command) => [command, page] as const));
const starting = (prefix: string) => commands.filter(([command]) => command.startsWith(prefix));

describe('commands in the guide and the runbooks', () => {
  it.each(starting('npm run infra --'))('%s (%s)', (command) => {
    const words = command
      .replace(/<env(ironment)?>/, 'dev')
      .split(/\s+/)
      .slice(4);
    expect(() => plan(words, true)).not.toThrow();
  });

  it.each(starting('npx weir'))('%s (%s)', async (command) => {
    const [name = '', ...rest] = command.split(/\s+/).slice(2);
    // A command of `keys`, not a file.
    const [first = ''] = rest;
    const subcommand = /^[a-z]+$/.test(first) ? [first] : [];
    const { stdout } = await run(process.execPath, ['services/cli/main.ts', name, ...subcommand, '--help']);
    expect(stdout).toContain(`Usage: weir ${[name, ...subcommand].join(' ')}`);
    for (const option of rest.filter((word) => word.startsWith('--'))) expect(stdout).toContain(option);
  });

  it('name only what the environments make', () => {
    const tables = environments.flatMap((env) =>
      consumerGroups(env).flatMap((group) => Object.values(tableNames(group))),
    );
    const known: [RegExp, readonly string[]][] = [
      [/(?:--table-name |--source-table-name |TableName,Value=)([\w.-]+)/g, [...tables, RESTORED]],
      [/(?:--stream-name |StreamName,Value=)([\w.-]+)/g, environments.map((env) => env.stream.name)],
      [/(?:--function-name |\/aws\/lambda\/)(\w[\w-]+)/g, [LAMBDA_FUNCTION]],
      [/--secret-id (\S+)/g, environments.map(apiKeysSecretName)],
      [/--path (\S+)/g, environments.map(parameterPrefix)],
      [/BUCKET=(\S+)/g, environments.map(failedBatchesBucket)],
      [/alias\/(\S+)/g, environments.map((env) => `weir-${env.name}`)],
    ];
    for (const [pattern, names] of known) {
      const used = commands.flatMap(([command]) => [...command.matchAll(pattern)].map(([, name]) => name));
      expect(used.length, String(pattern)).toBeGreaterThan(0);
      for (const name of used) expect(names).toContain(name);
    }
  });
});

it('the cost table is what weir cost computes', async () => {
  const rows = [...readFileSync(GUIDE, 'utf8').matchAll(/^\| +([\d,]+) \| +\$([\d,]+) \| +\$([\d,]+) \|$/gm)];
  expect(rows).toHaveLength(4);
  const number = (text = '') => Number(text.replaceAll(',', ''));
  for (const [, rate, all, anomalies] of rows) {
    for (const [store, usd] of [
      ['all', all],
      ['anomalies', anomalies],
    ] as const) {
      const args = ['cost', '--events-per-second', String(number(rate)), '--store', store, '--json'];
      const { stdout } = await run(process.execPath, ['services/cli/main.ts', ...args]);
      expect(Math.round(JSON.parse(stdout).estimate.usd), `${rate} events/s, ${store}`).toBe(number(usd));
    }
  }
});
