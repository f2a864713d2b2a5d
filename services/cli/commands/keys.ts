import { Command } from 'commander';
import { createApiKey } from '../../producer/auth/api-keys.ts';
import { printJson } from '../output.ts';

interface CreateOptions {
  client: string;
  sources: string[];
  expires?: string;
  json?: boolean;
}

/** `weir keys create`: a key for a client of the producer, and its entry for the key file. Keeps nothing. */
export const keys = new Command('keys').description("Makes API keys of the producer's clients.");

keys
  .command('create')
  .description('Prints a new key, which is nowhere else, and its entry for AUTH_KEYS_FILE.')
  .requiredOption('--client <name>', 'who is to have it; quotas go by this name')
  .requiredOption(
    '--sources <source...>',
    'sources that it may send; "sensor-*" is all that begin so, "*" all',
  )
  .option('--expires <time>', 'ISO 8601 time from which on it is refused')
  .option('--json', 'print {"key", "entry"} for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir keys create --client checkout --sources 'shop-*'
  weir keys create --client meters --sources meter-1 meter-2 --expires 2027-01-01 --json`,
  )
  .action(({ client, sources, expires, json }: CreateOptions, command: Command) => {
    let made: ReturnType<typeof createApiKey>;
    try {
      made = createApiKey(client, sources, expires);
    } catch (error) {
      return command.error(`error: ${(error as Error).message}`, { exitCode: 2 });
    }
    const { key, entry } = made;
    if (json) return printJson({ key, entry });
    process.stdout.write(
      `Key, shown this once, for the client:\n\n${key}\n\nEntry for "keys" in AUTH_KEYS_FILE:\n\n${JSON.stringify(entry, null, 2)}\n`,
    );
  });
