#!/usr/bin/env node
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };

// Each command is a file in `commands/` that exports a commander `Command`.
const program = new Command('weir')
  .description('Operates Weir: sends and watches events, reads lag and leases, tries detectors and scaling.')
  .version(packageJson.version)
  .showHelpAfterError();

await program.parseAsync();
