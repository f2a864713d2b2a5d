import { Argument, Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion.ts';

/** `weir completion`: the script that makes a shell complete the command line. */
export const completion = new Command('completion')
  .description('Prints the completion script of a shell.')
  .addArgument(new Argument('<shell>').choices(SHELLS))
  .addHelpText(
    'after',
    `
Examples:
  source <(weir completion bash)
  weir completion zsh > "\${fpath[1]}/_weir"
  weir completion fish > ~/.config/fish/completions/weir.fish`,
  )
  .action((shell: Shell, _: unknown, command: Command) => {
    const program = command.parent;
    if (program) process.stdout.write(completionScript(program, shell));
  });
