import type { RequestHandler, Response } from 'express';
import { AuthError, type Authenticator } from '../auth/authenticator.ts';
import type { Identity } from '../auth/identity.ts';
import type { ProducerMetrics } from '../metrics.ts';
import { HttpProblem } from './problems.ts';

const UNAVAILABLE_RETRY_SECONDS = 5;
const CHALLENGE = 'Bearer realm="weir"';

/** Lets those go on who say who they are; the others are refused before anything of their body is read. */
export function authenticated(authenticator: Authenticator, metrics: ProducerMetrics): RequestHandler {
  return async (request, response, next) => {
    try {
      response.locals.identity = await authenticator.authenticate(request.headers);
    } catch (error) {
      if (!(error instanceof AuthError)) throw error;
      metrics.authFailures.inc({ reason: error.reason });
      throw authProblem(error);
    }
    next();
  };
}

/** Who sent a request; undefined where nobody is asked. */
export function identityOf(response: Response): Identity | undefined {
  return response.locals.identity as Identity | undefined;
}

/** What a client is told: what to do, and nothing of which part of its credentials was wrong. */
function authProblem({ reason, cause }: AuthError): HttpProblem {
  if (reason === 'unavailable') {
    return new HttpProblem(
      'auth-unavailable',
      'the keys that tokens are checked with are not to be had for now',
      {
        retryAfterSeconds: UNAVAILABLE_RETRY_SECONDS,
        cause,
      },
    );
  }
  if (reason === 'missing') {
    const detail = 'send your key or token in the header "Authorization: Bearer …"';
    return new HttpProblem('unauthenticated', detail, { challenge: CHALLENGE });
  }
  const detail =
    reason === 'expired' ? 'the key or token has expired' : 'the key or token is not a valid one';
  return new HttpProblem('unauthenticated', detail, { challenge: `${CHALLENGE}, error="invalid_token"` });
}
