import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { AuthError, type Authenticator, bearerToken } from './authenticator.ts';
import { type Identity, SOURCE_PATTERN, sourceMatcher } from './identity.ts';

export interface JwtOptions {
  issuer: string;
  audience: string;
  jwksUrl: string;
  algorithms: readonly string[];
  /** Seconds by which clocks may differ. */
  clockToleranceSeconds: number;
  /** Claim with the sources that a token may send. */
  sourcesClaim: string;
}

const JWKS_TIMEOUT_MS = 3_000;
/** A key that the set does not have is looked for this often at most, however many tokens name such keys. */
const JWKS_COOLDOWN_MS = 30_000;
/** Least time between two requests for the keys; the library's own cooldown counts successes only. */
const JWKS_ATTEMPT_MS = 2_000;
const JWKS_REFRESH_MS = 600_000;
/** Keys that could not be refreshed are believed for so long: an outage of the issuer is not to be one of ours. */
const JWKS_MAX_AGE_MS = 24 * 3_600_000;
/** A token that was good is good for so long without another look: a signature costs 50 to 200 µs, this 2. */
const REMEMBER_MS = 60_000;
const REMEMBER_TOKENS = 10_000;
const MAX_SOURCES = 1_000;

interface JwtDeps {
  clock: Clock;
  log: Logger;
}

interface Remembered {
  identity: Identity;
  /** ms since the epoch. */
  until: number;
}

/** JSON Web Tokens (RFC 7519) of one issuer, checked with its JWKS. A token needs `sub`, `exp`, `iss` and `aud`. */
export class JwtAuthenticator implements Authenticator {
  readonly #options: JwtOptions;
  readonly #deps: JwtDeps;
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;
  /** By the token's hash; the oldest first. */
  readonly #remembered = new Map<string, Remembered>();
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(options: JwtOptions, deps: JwtDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#keys = createRemoteJWKSet(new URL(options.jwksUrl), {
      timeoutDuration: JWKS_TIMEOUT_MS,
      cooldownDuration: JWKS_COOLDOWN_MS,
      cacheMaxAge: JWKS_MAX_AGE_MS,
      [customFetch]: this.#fetch,
    });
  }

  async authenticate(headers: IncomingHttpHeaders): Promise<Identity> {
    const token = bearerToken(headers);
    if (token === undefined) throw new AuthError(headers.authorization === undefined ? 'missing' : 'invalid');
    const now = this.#deps.clock.now();
    const name = hash('sha256', token, 'base64');
    const known = this.#remembered.get(name);
    if (known && now < known.until) return known.identity;
    const payload = await this.#verify(token, now);
    const identity = identityOf(payload, this.#options.sourcesClaim);
    this.#remember(name, identity, Math.min(now + REMEMBER_MS, (payload.exp ?? 0) * 1_000));
    return identity;
  }

  /** Keeps the keys fresh until `signal` aborts, so that no request waits for them. */
  async refreshing(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const failed = await this.#keys.reload().then(
        () => false,
        (error: unknown) => {
          this.#deps.log.warn({ err: error }, 'the JWKS was not to be had; the keys before stay in force');
          return true;
        },
      );
      await this.#deps.clock.sleep(failed ? JWKS_COOLDOWN_MS : JWKS_REFRESH_MS, signal);
    }
  }

  async #verify(token: string, now: number): Promise<JWTPayload> {
    const { issuer, audience, algorithms, clockToleranceSeconds: clockTolerance } = this.#options;
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer,
        audience,
        algorithms: [...algorithms],
        clockTolerance,
        currentDate: new Date(now),
        requiredClaims: ['sub', 'exp'],
      });
      return payload;
    } catch (error) {
      throw new AuthError(reasonOf(error), error);
    }
  }

  #remember(name: string, identity: Identity, until: number): void {
    this.#remembered.delete(name);
    this.#remembered.set(name, { identity, until });
    if (this.#remembered.size <= REMEMBER_TOKENS) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }

  readonly #fetch: FetchImplementation = async (url, options) => {
    const now = this.#deps.clock.monotonic();
    if (now - this.#triedAt < JWKS_ATTEMPT_MS) throw new Error('the JWKS was asked for just now, in vain');
    this.#triedAt = now;
    return fetch(url, options);
  };
}

/** A claim that is missing, or is not a list of sources, gives no rights. */
function identityOf(payload: JWTPayload, sourcesClaim: string): Identity {
  const claim = payload[sourcesClaim];
  const listed: unknown = typeof claim === 'string' ? claim.split(' ') : claim;
  const usable =
    Array.isArray(listed) &&
    listed.length <= MAX_SOURCES &&
    listed.every((source) => typeof source === 'string' && SOURCE_PATTERN.test(source));
  return { client: String(payload.sub), maySend: sourceMatcher(usable ? listed : []) };
}

/** Errors that are the token's fault; every other one says nothing of it. */
const OF_THE_TOKEN = new Set([
  'ERR_JOSE_ALG_NOT_ALLOWED',
  'ERR_JOSE_NOT_SUPPORTED',
  'ERR_JWS_INVALID',
  'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  'ERR_JWT_CLAIM_VALIDATION_FAILED',
  'ERR_JWT_INVALID',
  'ERR_JWKS_NO_MATCHING_KEY',
  'ERR_JWKS_MULTIPLE_MATCHING_KEYS',
]);

function reasonOf(error: unknown): 'invalid' | 'expired' | 'unavailable' {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JOSEError && OF_THE_TOKEN.has(error.code)) return 'invalid';
  return 'unavailable';
}
