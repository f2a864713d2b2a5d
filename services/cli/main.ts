#!/usr/bin/env node
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { keys } from './commands/keys.ts';

// Each command is a file in `commands/` that exports a commander `Command`.
const program = new Command('weir')
  .description('Operates Weir: sends and watches events, reads lag and leases, tries detectors and scaling.')
  .version(packageJson.version)
  .showHelpAfterError()
  .addCommand(keys);

await program.parseAsync();
