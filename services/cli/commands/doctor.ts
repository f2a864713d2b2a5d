import { Command } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import { systemClock as clock } from '../../shared/clock.ts';
import { readDemo } from '../demo-file.ts';
import { type Check, ok, problem, warning } from '../doctor/check.ts';
import { checkDeadLetters, checkLeases } from '../doctor/group.ts';
import { checkStream } from '../doctor/stream.ts';
import { checkTable, checkWrite, tablesOf } from '../doctor/tables.ts';
import { EXIT } from '../exit-codes.ts';
import { paint, plain, printJson } from '../output.ts';
import { addTargetOptions, type Target, type TargetOptions, withTarget } from '../target.ts';

const NODE_MAJOR = 24;
const HTTP_TIMEOUT_MS = 5_000;

interface DoctorOptions extends TargetOptions {
  url?: string;
  write?: boolean;
  json?: boolean;
}

/** `weir doctor`: what may keep Weir from working here, and what to do about it. */
export const doctor = addTargetOptions(
  new Command('doctor').description(
    'Checks what Weir needs: versions, credentials and permissions, clock, stream, tables, leases, dead letters, producer; says what to do. Changes nothing.',
  ),
  ['leases', 'records', 'state', 'deadLetters'],
)
  .option('--url <url>', 'of a producer, to look at it too')
  .option('--write', 'also whether the tables may be written, by updates whose condition can not hold')
  .option('--json', 'print one object for programs')
  .addHelpText(
    'after',
    `
Exit code 3: there is a problem (warnings are none).

Examples:
  weir doctor --demo
  weir doctor --group orders --url https://events.example.com --write`,
  )
  .action((options: DoctorOptions) =>
    withTarget(options, async (target) => {
      const url = options.url ?? (options.demo ? readDemo().producerUrl : process.env.WEIR_URL);
      const checks = [
        checkNode(),
        ...(await checkAws(target, options)),
        ...(url ? [await checkProducer(url)] : []),
      ];
      const isWell = checks.every(({ status }) => status !== 'problem');
      if (!isWell) process.exitCode = EXIT.unwell.code;
      if (options.json) printJson({ ok: isWell, checks });
      else process.stdout.write(checks.map(textOf).join(''));
    }),
  );

async function checkAws(target: Target, { write }: DoctorOptions): Promise<Check[]> {
  const { kinesis, dynamodb, stream } = target;
  const tables = tablesOf(target);
  const found = await Promise.all([
    checkStream(kinesis, stream, clock),
    ...tables.map((table) => checkTable(dynamodb, table)),
    ...(write ? tables.map((table) => checkWrite(dynamodb, table)) : []),
  ]);
  // What is missing would only be said again.
  const all = found.flat();
  if (all.some(({ status }) => status === 'problem')) return all;
  return [...all, await checkLeases(target), await checkDeadLetters(target, clock)];
}

function checkNode(): Check {
  const found = `weir ${packageJson.version} on Node ${process.versions.node}`;
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR) return ok('versions', found);
  return warning(
    'versions',
    found,
    `Weir is tested on Node ${NODE_MAJOR}: npm ci installs it, npx weir uses it`,
  );
}

async function checkProducer(url: string): Promise<Check> {
  try {
    const response = await fetch(new URL('/ready', url), { signal: AbortSignal.timeout(HTTP_TIMEOUT_MS) });
    await response.arrayBuffer();
    if (response.ok) return ok('producer', `${url} is ready`);
    if (response.status === 503)
      return warning(
        'producer',
        `${url} is not ready`,
        'its log says why: Kinesis out of reach, or it is stopping',
      );
    return problem('producer', `${url} answers ${response.status}`, 'is it the URL of a producer?');
  } catch (error) {
    const { cause, message } = error as Error;
    const why = cause instanceof Error && cause.message ? cause.message : message;
    return problem('producer', `${url} can not be reached: ${why}`, 'check the URL, DNS and the ingress');
  }
}

const MARKS = {
  ok: ['ok     ', undefined],
  warning: ['warning', 'yellow'],
  problem: ['problem', 'red'],
} as const;

function textOf({ check, status, found, todo }: Check): string {
  const [mark, colour] = MARKS[status];
  const what = todo === null ? '' : `\n         -> ${todo}`;
  return `${paint(mark, colour)}  ${check}: ${plain(found)}${what}\n`;
}
