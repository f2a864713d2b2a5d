#!/usr/bin/env node
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { WeirError } from '../shared/errors.ts';
import { backtest } from './commands/backtest.ts';
import { cost } from './commands/cost.ts';
import { keys } from './commands/keys.ts';
import { simulate } from './commands/simulate.ts';

// Each command is a file in `commands/` that exports a commander `Command`.
const program = new Command('weir')
  .description('Operates Weir: sends and watches events, reads lag and leases, tries detectors and scaling.')
  .version(packageJson.version)
  .showHelpAfterError()
  .addCommand(backtest)
  .addCommand(cost)
  .addCommand(keys)
  .addCommand(simulate);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof WeirError)) throw error;
  process.stderr.write(`weir: ${error.message}\n`);
  process.exitCode = 1;
}
