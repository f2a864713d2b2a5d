import type { IncomingHttpHeaders } from 'node:http';
import type { Identity } from './identity.ts';

/** `invalid`: of no key or token that we know; `unavailable`: nobody could say, because the JWKS was not to be had. */
export const AUTH_FAILURES = ['missing', 'invalid', 'expired', 'unavailable'] as const;
export type AuthFailure = (typeof AUTH_FAILURES)[number];

/** Credentials that are not good for anything now. */
export class AuthError extends Error {
  override readonly name = 'AuthError';
  readonly reason: AuthFailure;

  constructor(reason: AuthFailure, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/** Tells who a client is by its credentials. */
export interface Authenticator {
  /** @throws AuthError when it can't. */
  authenticate(headers: IncomingHttpHeaders): Identity | Promise<Identity>;
}

const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;

/** The token of `Authorization: Bearer` (RFC 6750). */
export function bearerToken({ authorization }: IncomingHttpHeaders): string | undefined {
  return authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
}
