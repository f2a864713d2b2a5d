/** What every error of ours carries besides its message. */
export interface WeirErrorOptions {
  /** True when the same call may succeed later without anyone changing anything. Default false. */
  retryable?: boolean;
  cause?: unknown;
}

/**
 * The base of every error this project throws on purpose.
 *
 * `code` is stable: logs, dead letters, metrics labels and problem documents carry it, so people may match on
 * it. The message is for humans and may change.
 */
export class WeirError extends Error {
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: WeirErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The environment of a process can't be used; the message names every bad variable. */
export class ConfigError extends WeirError {
  constructor(message: string) {
    super('config-invalid', message);
  }
}

/** One reason why an event or record was refused, with the field it is about. */
export interface FieldProblem {
  /** JSON pointer (RFC 6901) to the field, `''` for the whole document. */
  pointer: string;
  detail: string;
}

/** An event or a stream record breaks the event contract. Never retryable: the bytes won't change. */
export class InvalidEventError extends WeirError {
  readonly problems: readonly FieldProblem[];

  constructor(code: string, problems: readonly FieldProblem[], cause?: unknown) {
    super(code, problems.map((p) => (p.pointer ? `${p.pointer}: ${p.detail}` : p.detail)).join('; '), {
      cause,
    });
    this.problems = problems;
  }
}

/** The `code` of an error of ours, else the error's name: a bounded label for logs and metrics. */
export function errorCode(error: unknown): string {
  if (error instanceof WeirError) return error.code;
  return error instanceof Error ? error.name : 'unknown';
}
