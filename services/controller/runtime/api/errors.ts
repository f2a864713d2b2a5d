import { WeirError } from '../../../shared/errors.ts';

/** What went wrong with a call to the API server, in the few kinds that callers tell apart. */
export type ApiErrorKind =
  | 'not-found'
  | 'already-exists'
  | 'conflict'
  | 'invalid'
  | 'unauthorized'
  | 'forbidden'
  | 'gone'
  | 'too-many-requests'
  | 'timeout'
  | 'unavailable'
  | 'network'
  | 'bad-answer'
  | 'refused';

/** Kinds where the same call may succeed later without anyone changing anything. */
const RETRYABLE: ReadonlySet<ApiErrorKind> = new Set([
  'conflict',
  'gone',
  'too-many-requests',
  'timeout',
  'unavailable',
  'network',
  'bad-answer',
  // A token that is about to be replaced, a role binding that is about to be made.
  'unauthorized',
  'forbidden',
]);

/** The part of a `metav1.Status` that we read. */
export interface KubeStatus {
  kind?: string;
  status?: string;
  code?: number;
  reason?: string;
  message?: string;
  details?: { name?: string; kind?: string; group?: string; retryAfterSeconds?: number };
}

/**
 * The one error of the API seam. `retryable` says whether the same call may succeed later; a conflict may once the object
 * is read again, which is what a new reconcile does.
 */
export class ApiError extends WeirError {
  readonly kind: ApiErrorKind;
  /** HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
  /** How long the server asks to be left alone, in ms. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: ApiErrorKind,
    message: string,
    options: { status?: number | undefined; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(`kube-${kind}`, message, { retryable: RETRYABLE.has(kind), cause: options.cause });
    this.kind = kind;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** True for an `ApiError` of one of the kinds. */
export function isApiError(error: unknown, ...kinds: ApiErrorKind[]): error is ApiError {
  return error instanceof ApiError && (kinds.length === 0 || kinds.includes(error.kind));
}

const BY_REASON: Readonly<Record<string, ApiErrorKind>> = {
  NotFound: 'not-found',
  AlreadyExists: 'already-exists',
  Conflict: 'conflict',
  Invalid: 'invalid',
  BadRequest: 'invalid',
  Unauthorized: 'unauthorized',
  Forbidden: 'forbidden',
  Gone: 'gone',
  Expired: 'gone',
  TooManyRequests: 'too-many-requests',
  Timeout: 'timeout',
  ServerTimeout: 'timeout',
  ServiceUnavailable: 'unavailable',
  InternalError: 'unavailable',
};

const BY_CODE: Readonly<Record<number, ApiErrorKind>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  408: 'timeout',
  409: 'conflict',
  410: 'gone',
  422: 'invalid',
  429: 'too-many-requests',
  504: 'timeout',
};

const KEPT_BODY = 300;
/** The API server asks for seconds. What is far more is a proxy's page, or nonsense that no timer takes. */
const MAX_RETRY_AFTER_SECONDS = 300;

/**
 * The error of an answer that is not 2xx. The reason of the `Status` object counts before the HTTP status, since 409 is
 * both AlreadyExists and Conflict; a proxy's answer has no `Status` at all.
 *
 * @param what the call, for the message: `patch streamscalers/a/status`.
 */
export function apiErrorOf(what: string, code: number, body: string, retryAfter?: string): ApiError {
  const status = parseStatus(body);
  const kind = BY_REASON[status?.reason ?? ''] ?? BY_CODE[code] ?? (code >= 500 ? 'unavailable' : 'refused');
  const detail = status?.message ?? body.slice(0, KEPT_BODY).replaceAll(/\s+/g, ' ').trim();
  return new ApiError(kind, `${what}: ${code}${detail === '' ? '' : ` ${detail}`}`, {
    status: code,
    retryAfterMs: retryAfterMs(retryAfter, status),
  });
}

/** The error of an ERROR event in a watch: a `Status` object again. */
export function apiErrorOfStatus(what: string, status: KubeStatus): ApiError {
  return apiErrorOf(what, status.code ?? 500, JSON.stringify({ ...status, kind: 'Status' }));
}

function parseStatus(body: string): KubeStatus | undefined {
  if (!body.startsWith('{')) return undefined;
  try {
    const parsed = JSON.parse(body) as KubeStatus;
    return parsed.kind === 'Status' ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function retryAfterMs(header: string | undefined, status: KubeStatus | undefined): number | undefined {
  const seconds = header === undefined ? status?.details?.retryAfterSeconds : Number(header);
  // The API server sends whole seconds; a date (which HTTP allows) or nonsense counts as no wish at all.
  if (seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return undefined;
  return Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1_000;
}
