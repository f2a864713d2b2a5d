import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { newRequestId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { TrustedProxies } from '../config.ts';
import { NotStoredError, RecordTooLargeError } from '../errors.ts';
import type { ReadinessReport } from '../readiness.ts';
import { readBody, tooLarge } from './body.ts';
import { HttpProblem, PROBLEMS, problemDocument } from './problems.ts';
import { closeWhenDraining, type SendDeps, send } from './send.ts';

export interface AppDeps extends SendDeps {
  /** What `GET /ready` answers. */
  readiness: () => ReadinessReport;
  log: Logger;
  maxEventBytes: number;
  trustProxy: TrustedProxies;
}

/** The HTTP API, ready to be put on a server. */
export function buildApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.set('trust proxy', deps.trustProxy);
  app.post('/send', readBody(deps.maxEventBytes), send(deps));
  app.get('/health', (_request, response) => {
    const timestamp = new Date(deps.clock.now()).toISOString();
    closeWhenDraining(response, deps);
    response.json({ status: 'healthy', timestamp, service: 'kinesis-producer' });
  });
  app.get('/ready', (_request, response) => {
    const report = deps.readiness();
    closeWhenDraining(response, deps);
    response.status(report.ok ? 200 : 503).json(report);
  });
  app.all('/send', notAllowed('POST'));
  app.all(['/health', '/ready'], notAllowed('GET, HEAD'));
  app.use(() => {
    throw new HttpProblem('not-found', 'events go to POST /send');
  });
  app.use(answerProblem(deps));
  return app;
}

function notAllowed(allow: string): RequestHandler {
  return (_request, response) => {
    response.setHeader('allow', allow);
    throw new HttpProblem('method-not-allowed', `this path takes ${allow}`);
  };
}

/** Turns whatever a handler threw into a problem document; what is nobody's business is logged, not sent. */
function answerProblem(deps: AppDeps): ErrorRequestHandler {
  const { log, metrics, maxEventBytes } = deps;
  // Four parameters are what tells express that this handles errors.
  return (error, request, response, _next) => {
    const requestId = newRequestId();
    const problem = toProblem(error, maxEventBytes);
    if (request.path === '/send' && request.method === 'POST') metrics.events.inc({ outcome: problem.code });
    if (problem.code === 'internal') log.error({ err: error, requestId }, 'a request failed');
    // Nobody is there to be told. Not express's last resort, which writes a stack to stderr for each client that leaves.
    if (response.headersSent || request.socket.destroyed) return void request.socket.destroy();
    const known = PROBLEMS[problem.code];
    if ('retryAfterSeconds' in known) response.setHeader('retry-after', String(known.retryAfterSeconds));
    // The rest of a body that nobody will read must not be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    closeWhenDraining(response, deps);
    response.statusCode = known.status;
    response.setHeader('content-type', 'application/problem+json; charset=utf-8');
    response.end(`${problemDocument(problem, requestId)}\n`);
  };
}

function toProblem(error: unknown, maxEventBytes: number): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof NotStoredError)
    return new HttpProblem(error.code, `${error.message}; send it again later`);
  if (error instanceof RecordTooLargeError) {
    return new HttpProblem('body-too-large', 'the event, as the stream would carry it, is over 1 MiB');
  }
  // What express and body-parser throw for a bad request: a status, and a type for each kind.
  const { status, type } = error as { status?: unknown; type?: unknown };
  if (type === 'entity.too.large') return tooLarge(maxEventBytes);
  if (type === 'encoding.unsupported') {
    return new HttpProblem('media-type-unsupported', 'Content-Encoding may be gzip, deflate or br');
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new HttpProblem('body-invalid', 'the request could not be read');
  }
  return new HttpProblem(
    'internal',
    'the event may not be stored; send it again with the same Idempotency-Key',
  );
}
