import { ConfigError, WeirError } from '../shared/errors.ts';

/** Exit codes of `weir`, for scripts. Also rendered into docs/reference/cli.md. */
export const EXIT = {
  ok: { code: 0, means: 'Done, and all is well.' },
  failed: {
    code: 1,
    means: 'Failed: AWS, the producer or a file refused or did not answer. The message is on standard error.',
  },
  usage: { code: 2, means: 'The command line, the environment or the input can not be used.' },
  unwell: {
    code: 3,
    means:
      'It worked, and what it looked at is not well: a problem that `doctor` found, a lag above `--max-lag`, an event that was refused, a dead letter that stays.',
  },
  interrupted: { code: 130, means: 'Ended by Ctrl-C before it was done.' },
} as const;

/** The exit code of an error that a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.usage.code;
  if (error instanceof WeirError && error.code === 'input-invalid') return EXIT.usage.code;
  return EXIT.failed.code;
}

/**
 * An error as one line for people. AWS's own messages may name the caller, which is what an operator wants to see;
 * stacks are for bugs only.
 */
export function messageOf(error: unknown): string | undefined {
  if (error instanceof WeirError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { $fault, code } = error as { $fault?: unknown; code?: unknown };
  if ($fault !== undefined) return `AWS answered ${error.name}: ${error.message}`;
  if (error.name === 'CredentialsProviderError')
    return `there are no AWS credentials: ${error.message}. For the demo: --demo`;
  if (typeof code === 'string') return error.message || code;
  return undefined;
}
