import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { streamScalerSpec } from '../cdk8s/crd/spec.ts';
import { program } from '../services/cli/program.ts';

const PAGES = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md')];
const textOf = (page: string) => readFileSync(page, 'utf8');

/** Commands of a page: lines of its `sh` blocks, joined where they go on, and code spans that are whole commands. */
function commandsOf(page: string): string[] {
  const text = textOf(page);
  const blocks = [...text.matchAll(/^ *```sh\n(.*?)^ *```/gms)].map(([, block = '']) => block);
  const spans = [...text.matchAll(/`((?:npm run|npx weir) [^`]+)`/g)].map(([, span = '']) => span);
  return [...blocks.flatMap((block) => block.replaceAll(/\\\n\s*/g, '').split('\n')), ...spans].map((line) =>
    line.trim(),
  );
}
const commands = PAGES.flatMap((page) => commandsOf(page).map((command) => ({ page, command })));

/** Words of a command line, quotes taken off; what comes after a pipe or a redirection is another's. */
function wordsOf(text: string): string[] {
  const words = text.match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
  const end = words.findIndex((word) => /^[|>;&]/.test(word));
  return words.slice(0, end < 0 ? undefined : end).map((word) => word.replace(/^(['"])(.*)\1$/s, '$2'));
}

/** The command that words name, and what is left of them. */
function resolve(words: readonly string[]): { command: Command; rest: readonly string[] } {
  let command: Command = program;
  let rest = words;
  for (;;) {
    const next = command.commands.find((sub) => sub.name() === rest[0]);
    if (!next) return { command, rest };
    command = next as Command;
    rest = rest.slice(1);
  }
}

const weir = commands.flatMap(({ page, command }) =>
  [...command.matchAll(/npx weir (.*)/g)].map(([, line = '']) => ({ page, line })),
);

describe('what the pages say', () => {
  it('has weir commands with subcommands, options and values that there are', () => {
    expect(weir.length).toBeGreaterThan(20);
    for (const { page, line } of weir.filter(({ line }) => !line.startsWith('<'))) {
      const { command, rest } = resolve(wordsOf(line));
      expect(command, `${page}: ${line}`).not.toBe(program);
      const { unknown, operands } = command.parseOptions([...rest]);
      expect(unknown, `${page}: ${line}`).toEqual([]);
      const most = command.registeredArguments.some(({ variadic }) => variadic)
        ? 99
        : command.registeredArguments.length;
      expect(operands.length, `${page}: ${line}`).toBeLessThanOrEqual(most);
    }
  });

  it('has npm scripts that there are', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    for (const { page, command } of commands) {
      for (const [, script = ''] of command.matchAll(/\bnpm run (?:-s )?([a-z:]+)/g))
        expect(scripts, page).toHaveProperty([script]);
    }
  });

  it('has links to pages that there are', () => {
    for (const page of PAGES) {
      for (const [, target = ''] of textOf(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        expect(existsSync(join(dirname(page), target)), `${page}: ${target}`).toBe(true);
      }
    }
  });

  it('is found from the index', () => {
    const index = textOf('docs/README.md');
    for (const page of globSync('docs/{tutorial,how-to,explanation,reference}/*.md')) {
      expect(index).toContain(`](${page.replace('docs/', '')})`);
    }
  });

  it('has a StreamScaler that the API server would take', () => {
    const page = textOf('docs/how-to/scale-your-kcl-application.md');
    const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
    expect(streamScalerSpec.safeParse(parse(yaml).spec)).toMatchObject({ success: true });
  });
});
