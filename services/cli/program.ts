import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { backtest } from './commands/backtest.ts';
import { completion } from './commands/completion.ts';
import { cost } from './commands/cost.ts';
import { demo } from './commands/demo.ts';
import { dlq } from './commands/dlq.ts';
import { doctor } from './commands/doctor.ts';
import { keys } from './commands/keys.ts';
import { lag } from './commands/lag.ts';
import { leases } from './commands/leases.ts';
import { send } from './commands/send.ts';
import { shards } from './commands/shards.ts';
import { simulate } from './commands/simulate.ts';
import { tail } from './commands/tail.ts';
import { EXIT } from './exit-codes.ts';

/** The `weir` command. Each subcommand is a file in `commands/` that exports a commander `Command`. */
export const program = new Command('weir')
  .description('Operates Weir: sends and watches events, reads lag and leases, tries detectors and scaling.')
  .version(packageJson.version)
  .showHelpAfterError('(--help tells how it is used)')
  .addHelpText(
    'after',
    `
Exit codes:
${Object.values(EXIT)
  .map(({ code, means }) => `  ${String(code).padEnd(5)}${means}`)
  .join('\n')}

Examples:
  weir demo
  weir lag --demo --watch
  weir dlq list --stream-group orders`.replace('--stream-group', '--group'),
  );

for (const command of [
  demo,
  send,
  tail,
  lag,
  shards,
  leases,
  dlq,
  backtest,
  simulate,
  cost,
  keys,
  doctor,
  completion,
])
  program.addCommand(command);

/** Commander's own exit code for a bad command line is 1, which is ours for a failure. */
(function exitByOurCodes(command: Command): void {
  command.exitOverride((error) => {
    process.exit(error.exitCode === 0 ? EXIT.ok.code : EXIT.usage.code);
  });
  command.showHelpAfterError('(--help tells how it is used)');
  for (const sub of command.commands) exitByOurCodes(sub as Command);
})(program);
