/**
 * `npm run infra -- <command> [environment | registry] [options of cdk]`: bundles the Lambda variant and runs the
 * cdk command on the stacks of one environment. `deploy` shows the difference first, and asks.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { environments } from '../cdk8s/environments/environments.ts';
import { ConfigError } from '../services/shared/errors.ts';

const COMMANDS = ['list', 'synth', 'diff', 'deploy', 'destroy', 'drift'];
const targets = [...environments.map((env) => env.name), 'registry'];
const usage = `usage: npm run infra -- <${COMMANDS.join('|')}> [${targets.join('|')}] [--yes] [options of cdk]`;

/** What to run, in order, for the words after `npm run infra --`. @throws ConfigError for words it doesn't know. */
export function plan(words: readonly string[], interactive: boolean): { steps: string[][]; ask: boolean } {
  const [command = '', ...rest] = words;
  if (!COMMANDS.includes(command)) throw new ConfigError(usage);
  const target = rest[0]?.startsWith('-') === false ? rest[0] : undefined;
  if (target !== undefined && !targets.includes(target))
    throw new ConfigError(`there is no environment ${target}\n${usage}`);
  const yes = rest.includes('--yes');
  const options = (target === undefined ? rest : rest.slice(1)).filter((word) => word !== '--yes');
  if ((command === 'deploy' || command === 'destroy') && target === undefined)
    throw new ConfigError(`${command} what? Name the environment.\n${usage}`);
  const context = target === undefined || target === 'registry' ? [] : ['-c', `environment=${target}`];
  const stacks = target === undefined ? [] : target === 'registry' ? ['weir-registry'] : [`weir-${target}-*`];
  const cdk = (name: string, ...more: string[]) => [name, ...stacks, ...context, ...more, ...options];
  if (command === 'synth') return { steps: [cdk('synth', '--quiet')], ask: false };
  if (command === 'destroy') return { steps: [cdk('destroy', ...(yes ? ['--force'] : []))], ask: false };
  if (command !== 'deploy') return { steps: [cdk(command)], ask: false };
  if (!yes && !interactive)
    throw new ConfigError('nobody can be asked whether the difference is right: add --yes');
  return { steps: [cdk('diff'), cdk('deploy', '--require-approval', 'never')], ask: !yes };
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) process.exit(code ?? 1);
}

async function main(): Promise<void> {
  const { steps, ask } = plan(process.argv.slice(2), process.stdin.isTTY === true);
  await run(process.execPath, ['scripts/build.ts', 'lambda']);
  for (const [i, step] of steps.entries()) {
    if (ask && i === steps.length - 1) {
      const terminal = createInterface({ input: process.stdin, output: process.stderr });
      const answer = await terminal.question('Deploy this? [y/N] ');
      terminal.close();
      if (!/^y(es)?$/i.test(answer.trim())) return;
    }
    await run('cdk', step);
  }
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  });
}
