import type { FieldProblem } from '../../shared/errors.ts';

/** Each problem of the HTTP API: its status and title. The code is stable; clients may match on it. */
export const PROBLEMS = {
  'request-invalid': { status: 400, title: 'The request is not HTTP' },
  'body-invalid': { status: 400, title: 'The body is not JSON' },
  'idempotency-key-invalid': { status: 400, title: 'The Idempotency-Key header is not usable' },
  unauthenticated: { status: 401, title: 'The client does not say who it is' },
  'source-forbidden': { status: 403, title: 'The client may not send events of this source' },
  'not-found': { status: 404, title: 'There is nothing at this path' },
  'method-not-allowed': { status: 405, title: 'The path does not take this method' },
  'request-timeout': { status: 408, title: 'The request did not come in time' },
  'body-too-large': { status: 413, title: 'The event is too large' },
  'media-type-unsupported': { status: 415, title: 'The body is of a type that is not accepted' },
  'expectation-unsupported': { status: 417, title: 'The expectation can not be met' },
  'event-invalid': { status: 422, title: 'The event breaks the schema' },
  'idempotency-key-reused': { status: 422, title: 'The idempotency key was used for another event' },
  'quota-exceeded': { status: 429, title: 'The client or the source is over its quota' },
  throttled: { status: 429, title: 'Kinesis takes no more of this source for now' },
  'header-too-large': { status: 431, title: 'The header is too large' },
  internal: { status: 500, title: 'The producer failed' },
  'sink-unavailable': { status: 503, title: 'Kinesis did not store the event' },
  'auth-unavailable': { status: 503, title: 'Tokens can not be checked for now' },
  'buffer-full': { status: 503, title: 'Too many events wait for Kinesis' },
  draining: { status: 503, title: 'This producer is stopping' },
} as const satisfies Record<string, { status: number; title: string }>;

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

export type ProblemCode = keyof typeof PROBLEMS;

/** A request that is answered with a problem document. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly code: ProblemCode;
  readonly errors: readonly FieldProblem[] | undefined;
  /** Goes into the `Retry-After` header. */
  readonly retryAfterSeconds: number | undefined;
  /** Goes into the `WWW-Authenticate` header. */
  readonly challenge: string | undefined;

  /** @param detail what is wrong with this request and what to do about it; nothing of ours that a client should not see. */
  constructor(
    code: ProblemCode,
    detail: string,
    more: {
      errors?: readonly FieldProblem[];
      retryAfterSeconds?: number;
      challenge?: string;
      cause?: unknown;
    } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.errors = more.errors;
    this.retryAfterSeconds = more.retryAfterSeconds;
    this.challenge = more.challenge;
  }
}

/** A problem as clients see it (RFC 9457). */
export function problemDetails({ code, message, errors }: HttpProblem) {
  const { status, title } = PROBLEMS[code];
  const type = `urn:weir:problem:${code}`;
  return { type, title, status, detail: message, code, ...(errors ? { errors } : {}) };
}

/** The problem document as it is sent. @param requestId names the request in our logs. */
export function problemDocument(problem: HttpProblem, requestId: string): string {
  return JSON.stringify({ ...problemDetails(problem), instance: `urn:uuid:${requestId}` });
}
