import { Command, InvalidArgumentError } from 'commander';

/** What the demo was asked for. */
export interface DemoOptions {
  exit: boolean;
  json: boolean;
  input?: string;
  sourceField: string;
  amountField: string;
  timestampField: string;
  /** Undefined: 120 for the flights, 1000 for own data. */
  threshold?: number;
  rate?: number;
  events?: number;
}

const EXAMPLES = `
Examples:
  npm run demo                                        20,000 flights, then stays up for you to try
  npm run demo -- --exit --json                       the same as a check, with one JSON object as result
  npm run demo -- --input orders.csv --source-field shop --amount-field total --threshold 500`;

/** The demo's command line. `--help` and a bad option end the process (0, 2). */
export function parseOptions(argv: readonly string[]): DemoOptions {
  const program = demoCommand('demo').exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  return program.parse(argv, { from: 'user' }).opts<DemoOptions>();
}

/** The demo's options: of `npm run demo` and of `weir demo`. */
export function demoCommand(name: string): Command {
  return new Command(name)
    .description('Runs Weir on this machine, on emulators, and replays real events through it.')
    .option(
      '--exit',
      'end after the check, with exit code 0 if all events are stored and scored once, else 1',
      false,
    )
    .option(
      '--json',
      'print the result as one JSON object on standard output, all else on standard error',
      false,
    )
    .option('--input <file>', 'replay this .ndjson, .json or .csv file instead of the flights')
    .option('--source-field <name>', 'field of the file that is the source', 'source')
    .option('--amount-field <name>', 'field of the file that is the amount', 'amount')
    .option('--timestamp-field <name>', 'field of the file that is the timestamp', 'timestamp')
    .option(
      '--threshold <amount>',
      'anomaly above this amount (default: 120 for flights, 1000 else)',
      positive,
    )
    .option('--rate <events/s>', 'events a second (default: as fast as they are answered)', positive)
    .option('--events <count>', 'replay the first so many events', wholePositive)
    .addHelpText('after', EXAMPLES);
}

function positive(value: string): number {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number) || number <= 0) {
    throw new InvalidArgumentError('Expected a number greater than 0.');
  }
  return number;
}

function wholePositive(value: string): number {
  const number = positive(value);
  if (!Number.isInteger(number)) throw new InvalidArgumentError('Expected a whole number greater than 0.');
  return number;
}
