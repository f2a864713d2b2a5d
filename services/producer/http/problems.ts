import type { FieldProblem } from '../../shared/errors.ts';

/** Each problem of the HTTP API: its status and title. The code is stable; clients may match on it. */
export const PROBLEMS = {
  'body-invalid': { status: 400, title: 'The body is not JSON' },
  'idempotency-key-invalid': { status: 400, title: 'The Idempotency-Key header is not usable' },
  'not-found': { status: 404, title: 'There is nothing at this path' },
  'method-not-allowed': { status: 405, title: 'The path does not take this method' },
  'body-too-large': { status: 413, title: 'The event is too large' },
  'media-type-unsupported': { status: 415, title: 'The body is of a type that is not accepted' },
  'event-invalid': { status: 422, title: 'The event breaks the schema' },
  throttled: { status: 429, title: 'Kinesis takes no more of this source for now', retryAfterSeconds: 1 },
  internal: { status: 500, title: 'The producer failed' },
  'sink-unavailable': { status: 503, title: 'Kinesis did not store the event', retryAfterSeconds: 2 },
  'buffer-full': { status: 503, title: 'Too many events wait for Kinesis', retryAfterSeconds: 1 },
  draining: { status: 503, title: 'This producer is stopping', retryAfterSeconds: 1 },
} as const satisfies Record<string, { status: number; title: string; retryAfterSeconds?: number }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** A request that is answered with a problem document. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly code: ProblemCode;
  readonly errors: readonly FieldProblem[] | undefined;

  /** @param detail what is wrong with this request and what to do about it; nothing of ours that a client should not see. */
  constructor(code: ProblemCode, detail: string, errors?: readonly FieldProblem[]) {
    super(detail);
    this.code = code;
    this.errors = errors;
  }
}

/** The problem document (RFC 9457) as it is sent. @param requestId names the request in our logs. */
export function problemDocument(problem: HttpProblem, requestId: string): string {
  const { status, title } = PROBLEMS[problem.code];
  return JSON.stringify({
    type: `urn:weir:problem:${problem.code}`,
    title,
    status,
    detail: problem.message,
    code: problem.code,
    instance: `urn:uuid:${requestId}`,
    ...(problem.errors ? { errors: problem.errors } : {}),
  });
}
