import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import * as dynamodb from '@aws-sdk/client-dynamodb';
import * as kinesis from '@aws-sdk/client-kinesis';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { environments } from '../cdk8s/environments/environments.ts';
import { prod } from '../cdk8s/environments/prod.ts';
import { registry } from '../cdk8s/environments/registry.ts';
import { defineEnvironment, type Environment, type EnvironmentInput } from '../cdk8s/environments/schema.ts';
import { renderCharts } from '../cdk8s/render.ts';
import { commandsOf, wordsOf } from './commands-of.ts';
import { findTool } from './kube/assets.ts';
import { describeWithTools } from './kube/cluster.ts';

const PAGES = globSync('docs/{runbooks,how-to}/*.md').sort();
const commands = PAGES.flatMap((page) => commandsOf(page).map((command) => [command, page] as const));
const starting = (program: string) => commands.filter(([command]) => command.startsWith(`${program} `));

const manifests = globSync('charts/dev/*/*.yaml').map(
  (file) =>
    parse(readFileSync(file, 'utf8')) as {
      kind: string;
      metadata: { name: string; labels: Record<string, string> };
      spec?: {
        ports?: { port: number }[];
        template?: { spec: { containers: { ports: { containerPort: number }[] }[] } };
      };
    },
);
/** What Argo CD's own installation makes, and the Applications that its ApplicationSet does. */
const IN_ARGOCD = [
  'deployment/argocd-repo-server',
  'statefulset/argocd-application-controller',
  'applicationset/weir',
  ...globSync('charts/dev/*').map((folder) => `application/weir-dev-${folder.split('/').at(-1)}`),
];
const objects = new Set([
  ...IN_ARGOCD,
  ...manifests.map(({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`),
]);
/** Kinds by the names that a person types. */
const KINDS: Readonly<Record<string, string>> = { deploy: 'deployment', svc: 'service' };
const VERBS_WITH_OBJECT = ['annotate', 'describe', 'get', 'logs', 'port-forward', 'scale', 'rollout'];

/** `type/name` of what a kubectl command works on; a type alone for lists. */
function objectOf(words: readonly string[]): { kind: string; name?: string } | undefined {
  const plain = words.filter((word, i) => !word.startsWith('-') && !TAKES_VALUE.has(words[i - 1] ?? ''));
  const verb = plain[0] ?? '';
  if (!VERBS_WITH_OBJECT.includes(verb)) return undefined;
  const [first = '', second] = plain.slice(verb === 'rollout' ? 2 : 1);
  const [kind = '', name] = first.includes('/') ? first.split('/') : [first, second];
  return { kind: KINDS[kind] ?? kind, ...(name === undefined ? {} : { name }) };
}
const TAKES_VALUE = new Set(['-n', '-l', '-f', '-o', '--sort-by']);

describe('commands on all pages', () => {
  it('are there', () => {
    expect(starting('kubectl').length).toBeGreaterThan(20);
    expect(starting('aws').length).toBeGreaterThan(10);
  });

  it('begin with a program that is explained', () => {
    const programs = new Set(commands.map(([command]) => command.split(' ')[0]));
    const known = ['aws', 'bash', 'cosign', 'curl', 'docker', 'git', 'kubectl', 'npm', 'npx', 'printf'];
    for (const [command, page] of commands) {
      if (/^(#|\w+=|[})|]|export |for |do |done|cat |jq )/.test(command)) continue;
      expect(known, `${command} (${page})`).toContain(command.split(' ')[0]);
    }
    expect(programs.size).toBeGreaterThan(5);
  });

  it('name npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const [command, page] of starting('npm')) {
      const [, script = ''] = /^npm (?:run )?(\S+)/.exec(command) ?? [];
      if (script !== 'ci' && script !== 'install')
        expect(scripts, `${command} (${page})`).toHaveProperty([script]);
    }
  });

  it('name files that exist, and links that lead somewhere', () => {
    for (const [command, page] of commands)
      for (const [path] of command.matchAll(/(?<=\s)(?:charts|cdk8s|infra|docs|tests)\/[\w./-]*/g))
        expect(existsSync(path), `${path} in ${command} (${page})`).toBe(true);
    for (const page of PAGES)
      for (const [, target = ''] of readFileSync(page, 'utf8').matchAll(
        /\]\((?!https?:)([^)#]+)(?:#[\w-]+)?\)/g,
      ))
        expect(
          existsSync(new URL(target, new URL(page, `file://${process.cwd()}/`))),
          `${target} in ${page}`,
        ).toBe(true);
  });

  it('name the accounts of the environments', () => {
    const accounts: string[] = [registry.account, ...environments.map((env) => env.account)];
    for (const [command, page] of commands)
      for (const [account] of command.matchAll(/(?<!shardId-)\b\d{12}\b/g))
        expect(accounts, `${command} (${page})`).toContain(account);
  });

  it.each(starting('npm run release --'))('%s (%s)', (command) => {
    const [action, to] = wordsOf(command).slice(4);
    expect(['record', 'promote', 'propose']).toContain(action);
    expect(['dev', 'staging', 'prod']).toContain(to);
  });
});

describe('settings of an environment', () => {
  const blocks = PAGES.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/^ *```js\n([\s\S]*?)^ *```/gm)].map(([, code = '']) => code),
  );
  const defined = blocks.filter((code) => code.includes('defineEnvironment('));
  /** What the pages say one after another, as changes of prod. */
  const settings = blocks
    .filter((code) => !defined.includes(code))
    .map((code) => new Function(`return {${code}}`)() as Record<string, object>);

  it('are taken as they stand in the guides', () => {
    expect(settings.length).toBeGreaterThan(3);
    // What stands alone are two lines of `detection`, once there are challengers.
    const [promoted, ...more] = settings.filter((change) => 'detector' in change);
    expect(more).toEqual([]);
    let env: EnvironmentInput = prod;
    for (const change of settings.filter((change) => change !== promoted)) {
      const [[key = '', value] = []] = Object.entries(change);
      const before = env[key as keyof EnvironmentInput] as object | undefined;
      env = defineEnvironment({ ...env, [key]: { ...before, ...value } });
      expect(env[key as keyof EnvironmentInput]).toMatchObject(value ?? {});
    }
    const detection = { ...env.detection, ...promoted };
    expect(detection.challengers).toHaveLength(1);
    expect(() => defineEnvironment({ ...env, detection })).not.toThrow();
  });

  it('make a second region that renders, beside the first', () => {
    expect(defined).toHaveLength(1);
    const body = defined[0]?.replace(/^\s*export const \w+ =/, 'return') ?? '';
    const second = new Function('defineEnvironment', 'prod', body)(defineEnvironment, prod) as Environment;
    const files = [...renderCharts([...environments, second]).keys()];
    expect(files.filter((path) => path.startsWith(`${second.name}/`))).toHaveLength(
      files.filter((path) => path.startsWith('prod/')).length,
    );
  });
});

describe('kubectl', () => {
  it.each(starting('kubectl'))('%s (%s)', (command) => {
    const words = wordsOf(command).slice(1);
    const at = words.indexOf('-n');
    if (at >= 0) expect(['weir', 'argocd']).toContain(words[at + 1]);
    const label = words[words.indexOf('-l') + 1];
    if (words.includes('-l')) {
      const [key = '', value] = label?.split('=') ?? [];
      expect(manifests.some(({ metadata }) => metadata.labels[key] === value)).toBe(true);
    }
    const object = objectOf(words);
    // Without our namespace it is the reader's own object.
    if (at >= 0 && object?.name !== undefined) expect(objects).toContain(`${object.kind}/${object.name}`);
    if (!words.includes('port-forward')) return;
    const target = manifests.find(
      ({ kind, metadata }) => kind.toLowerCase() === object?.kind && metadata.name === object.name,
    );
    const ports = [
      ...(target?.spec?.ports ?? []).map(({ port }) => port),
      ...(target?.spec?.template?.spec.containers ?? []).flatMap((c) => c.ports.map((p) => p.containerPort)),
    ];
    const [, port] = /\d+:(\d+)/.exec(command) ?? [];
    expect(ports).toContain(Number(port));
  });
});

describeWithTools('of kubectl commands in the how-tos', 'kubectl')('by kubectl itself', () => {
  it('have verbs and flags that it knows', () => {
    const program = findTool('kubectl') ?? '';
    const help = new Map<string, string>();
    const helpOf = (verb: string) => {
      const known =
        help.get(verb) ?? execFileSync(program, [...verb.split(' '), '--help'], { encoding: 'utf8' });
      help.set(verb, known);
      return known;
    };
    const globalOptions = execFileSync(program, ['options'], { encoding: 'utf8' });
    for (const [command, page] of starting('kubectl')) {
      const words = wordsOf(command).slice(1);
      const plain = words.filter((word, i) => !word.startsWith('-') && !TAKES_VALUE.has(words[i - 1] ?? ''));
      const nested = ['rollout', 'create', 'config', 'top'].includes(plain[0] ?? '');
      const text = `${helpOf(plain.slice(0, nested ? 2 : 1).join(' '))}\n${globalOptions}`;
      for (const flag of words.filter((word) => word.startsWith('-') && word !== '--'))
        expect(text, `${flag} in ${command} (${page})`).toContain(
          `${flag.split('=')[0]}${flag.length === 2 ? ',' : '='}`,
        );
    }
  }, 60_000);
});

describe('aws', () => {
  /** Operations of services whose clients are not among our dependencies. */
  const OTHERS: Readonly<Record<string, readonly string[]>> = {
    cloudwatch: ['get-metric-statistics', 'describe-alarms'],
    ecr: ['get-login-password'],
    eks: ['create-addon', 'update-kubeconfig'],
    kms: ['replicate-key'],
    lambda: [
      'invoke',
      'list-event-source-mappings',
      'get-event-source-mapping',
      'get-function-concurrency',
      'put-function-concurrency',
      'update-event-source-mapping',
      'update-function-configuration',
      'get-account-settings',
    ],
    logs: ['tail', 'filter-log-events', 'start-query'],
    s3: ['ls', 'cp'],
    s3api: ['list-objects-v2', 'get-object'],
    secretsmanager: ['put-secret-value', 'get-secret-value'],
    'service-quotas': ['list-service-quotas', 'request-service-quota-increase'],
    ssm: ['get-parameters-by-path'],
    sts: ['get-caller-identity'],
    budgets: ['describe-budgets'],
    ce: ['get-cost-and-usage'],
  };
  const CLIENTS: Readonly<Record<string, object>> = { dynamodb, kinesis };

  it.each(starting('aws'))('%s (%s)', (command) => {
    const [service = '', operation = ''] = wordsOf(command).slice(1);
    const client = CLIENTS[service];
    const name = operation.replaceAll(/(?:^|-)(\w)/g, (_all, letter: string) => letter.toUpperCase());
    if (operation === 'wait') expect(command).toMatch(/ wait (table-exists|stream-exists) /);
    else if (client) expect(client).toHaveProperty(`${name}Command`);
    else expect(OTHERS[service] ?? [], `${service} ${operation}`).toContain(operation);
    for (const word of wordsOf(command))
      if (word.startsWith('--')) expect(word).toMatch(/^--[a-z0-9-]+(=.*)?$/);
  });
});

describe('curl', () => {
  const ROUTES = [
    '/send',
    '/send/batch',
    '/health',
    '/ready',
    '/livez',
    '/readyz',
    '/metrics',
    '/openapi.json',
    '/docs',
  ];

  it.each(starting('curl'))('%s (%s)', (command) => {
    const [, path = ''] = /(?:https?:\/\/[\w.:]+|\$\w+)(\/[\w./]*)/.exec(command) ?? [];
    expect(ROUTES).toContain(path);
    const [, body] = /-d '([^']*)'/.exec(command) ?? [];
    if (body !== undefined) expect(() => JSON.parse(body)).not.toThrow();
  });
});

it('the Secret that registers a cluster has the name that the Applications look for', () => {
  const page = readFileSync('docs/how-to/deploy-on-eks.md', 'utf8');
  const [, text = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
  const secret = parse(text) as { stringData: { name: string; config: string } };
  expect(environments.map((env) => env.cluster)).toContain(secret.stringData.name);
  expect(() => JSON.parse(secret.stringData.config)).not.toThrow();
});
