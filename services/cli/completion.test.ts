import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { completionScript, SHELLS } from './completion.ts';
import { program } from './program.ts';

const run = promisify(execFile);

/** What bash offers at the end of a line. */
async function offers(line: string): Promise<string[]> {
  const words = line.split(' ');
  const { stdout } = await run('bash', [
    '-c',
    `${completionScript(program, 'bash')}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
_weir; printf '%s\\n' "\${COMPREPLY[@]}"`,
  ]);
  return stdout.trim().split('\n');
}

describe('completion', () => {
  it.each([
    ['weir dl', ['dlq']],
    ['weir dlq re', ['redrive']],
    ['weir dlq redrive --re', ['--region', '--reason']],
    ['weir lag --wa', ['--watch']],
    ['weir lag --stream orders --wa', ['--watch']],
    ['weir completion z', ['zsh']],
    ['weir tail --no', ['--no-follow']],
  ])('bash offers for "%s"', async (line, words) => {
    expect((await offers(line)).sort()).toEqual(words.sort());
  });

  it.each(SHELLS)('%s: the script is one that the shell takes', (shell) => {
    const script = completionScript(program, shell);
    for (const command of program.commands) expect(script).toContain(command.name());
    try {
      execFileSync(shell, ['-n'], { input: script });
    } catch (error) {
      // A shell that is not on this machine.
      expect((error as NodeJS.ErrnoException).code).toBe('ENOENT');
    }
  });
});

it('shows an example of each command that does something', () => {
  for (const command of program.commands.flatMap((one) => (one.commands.length > 0 ? one.commands : [one]))) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(help, command.name()).toContain('Examples:');
  }
});
