import { isIP } from 'node:net';
import type { Request, RequestHandler, Response } from 'express';
import { type Span, type Tracing, traceparentOf } from '../../shared/tracing.ts';
import { Enricher } from '../ingest/enricher.ts';
import type { RequestContext } from '../ingest/ingest.ts';
import { identityOf } from './authentication.ts';
import { HttpProblem } from './problems.ts';

/** 1 to 255 visible ASCII characters, as a quoted string (draft-ietf-httpapi-idempotency-key-header) or bare. */
const IDEMPOTENCY_KEY = /^(?:"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))$/;

/**
 * What the events of a request have in common.
 *
 * @param acceptedAt ms since the epoch.
 */
export function requestContext(request: Request, response: Response, acceptedAt: number): RequestContext {
  const ip = sourceIp(request);
  const identity = identityOf(response);
  const span = response.locals.span as Span | undefined;
  // A trace of ours goes on from our span; else the client's goes through unchanged.
  const traceparent = span?.traceparent ?? traceparentOf(request.headers.traceparent);
  const ingestion_timestamp = new Date(acceptedAt).toISOString();
  return {
    client: identity?.client ?? ip,
    maySend: identity?.maySend ?? everything,
    enricher: new Enricher({ ingestion_timestamp, source_ip: ip, ...(traceparent && { traceparent }) }),
  };
}

const everything = () => true;

/** A span for each request that sends events, as a part of the client's trace. */
export function traced(tracing: Tracing): RequestHandler {
  return (request, response, next) => {
    const span = tracing.start(`${request.method} ${request.path}`, {
      kind: 'server',
      parent: traceparentOf(request.headers.traceparent),
      attributes: { 'http.request.method': request.method, 'url.path': request.path },
    });
    response.locals.span = span;
    response.once('close', () => {
      const { statusCode } = response;
      const error =
        statusCode >= 500 ? `${statusCode}` : response.writableFinished ? undefined : 'client left';
      span.end({ 'http.response.status_code': statusCode }, error);
    });
    next();
  };
}

/**
 * The client's address: as the trusted proxies tell it, else the connection's. What a proxy passed on that is no
 * address is not believed; an IPv4 address in IPv6 clothes (a dual-stack socket's) is shown as IPv4.
 */
function sourceIp(request: Request): string {
  const told = (request.ip ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(told) === 0 ? (request.socket.remoteAddress ?? '') : told;
}

/** @throws HttpProblem 400 for a key that is not usable. */
export function idempotencyKeyOf(request: Request): string | undefined {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return undefined;
  const match = typeof header === 'string' ? IDEMPOTENCY_KEY.exec(header) : null;
  const key = match?.[1] ?? match?.[2];
  if (key !== undefined) return key;
  throw new HttpProblem(
    'idempotency-key-invalid',
    'Idempotency-Key takes 1 to 255 visible ASCII characters, sent once',
  );
}
