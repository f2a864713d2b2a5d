import { hash } from 'node:crypto';
import cors, { type CorsOptions } from 'cors';
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from 'express';
import { newRequestId } from '../../shared/ids.ts';
import type { Tracing } from '../../shared/tracing.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { TrustedProxies } from '../config.ts';
import { toProblem } from '../ingest/ingest.ts';
import type { ReadinessReport } from '../readiness.ts';
import { authenticated } from './authentication.ts';
import { isContinue } from './body-reader.ts';
import { DOCS_STYLE, docsPage } from './docs-page.ts';
import { type AuthMode, openApiDocument } from './openapi.ts';
import { HttpProblem, PROBLEM_TYPE, PROBLEMS, problemDocument } from './problems.ts';
import { traced } from './request-context.ts';
import { setSecurityHeaders } from './security-headers.ts';
import { closeWhenDraining, send } from './send.ts';
import { type SendBatchDeps, sendBatch } from './send-batch.ts';

export interface AppDeps extends SendBatchDeps {
  /** What `GET /ready` answers. */
  readiness: () => ReadinessReport;
  trustProxy: TrustedProxies;
  /** Left out: everybody may send everything. */
  authenticator?: Authenticator | undefined;
  auth: AuthMode;
  /** Origins whose web pages may send events; `*` is any. */
  corsOrigins: readonly string[];
  /** Left out: no traces. */
  tracing?: Tracing | undefined;
}

/** Version of the HTTP API, as its OpenAPI document says it. */
const VERSION = '1.0.0';
const DOCS_POLICY = `default-src 'none'; style-src 'sha256-${hash('sha256', DOCS_STYLE, 'base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const PREFLIGHT_SECONDS = 600;

function corsOptions(origins: readonly string[]): CorsOptions {
  return {
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['POST'],
    exposedHeaders: ['Retry-After', 'WWW-Authenticate'],
    maxAge: PREFLIGHT_SECONDS,
  };
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
  app.use((request, response, next) => {
    // The answers to POST are written by `answerJson` and `answerProblem`, with these headers.
    if (request.method !== 'POST') setSecurityHeaders(response);
    assertUsable(request);
    next();
  });
  if (deps.corsOrigins.length > 0) app.use(['/send', '/send/batch'], cors(corsOptions(deps.corsOrigins)));
  if (deps.tracing) app.post(['/send', '/send/batch'], traced(deps.tracing));
  if (deps.authenticator) {
    app.post(['/send', '/send/batch'], authenticated(deps.authenticator, deps.metrics));
  }
  app.post('/send', send(deps));
  app.post('/send/batch', sendBatch(deps));
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
  const openApi = openApiDocument(VERSION, deps.auth);
  const page = docsPage(openApi);
  app.get('/openapi.json', (_request, response) => void response.json(openApi));
  app.get('/docs', (_request, response) => {
    response.setHeader('content-security-policy', DOCS_POLICY);
    response.type('html').send(page);
  });
  app.all(['/send', '/send/batch'], notAllowed('POST'));
  app.all(['/health', '/ready', '/openapi.json', '/docs'], notAllowed('GET, HEAD'));
  app.use(() => {
    throw new HttpProblem('not-found', 'events go to POST /send or POST /send/batch');
  });
  app.use(answerProblem(deps));
  return app;
}

/** What Node looks at itself unless somebody else does, only to answer without a word. @throws HttpProblem 400 or 417. */
function assertUsable({ headers, httpVersion }: Request): void {
  // Both are not there in HTTP/1.0.
  if (httpVersion !== '1.1') return;
  if (headers.host === undefined) throw new HttpProblem('request-invalid', 'a request has a Host header');
  if (headers.expect !== undefined && !isContinue(headers.expect)) {
    throw new HttpProblem('expectation-unsupported', 'Expect may be 100-continue');
  }
}

function notAllowed(allow: string): RequestHandler {
  return (_request, response) => {
    response.setHeader('allow', allow);
    throw new HttpProblem('method-not-allowed', `this path takes ${allow}`);
  };
}

/** Turns whatever a handler threw into a problem document; what is nobody's business is logged, not sent. */
function answerProblem(deps: AppDeps): ErrorRequestHandler {
  const { log, metrics } = deps;
  // Four parameters are what tells express that this handles errors.
  return (error, request, response, _next) => {
    const requestId = newRequestId();
    const problem = ofExpress(error) ?? toProblem(error);
    if (request.method === 'POST' && /^\/send(?:\/batch)?$/.test(request.path)) {
      metrics.events.inc({ outcome: problem.code });
    }
    if (problem.code === 'internal') log.error({ err: problem.cause, requestId }, 'a request failed');
    // Nobody is there to be told. Not express's last resort, which writes a stack to stderr for each client that leaves.
    if (response.headersSent || request.socket.destroyed) return void request.socket.destroy();
    setSecurityHeaders(response);
    const { retryAfterSeconds, challenge } = problem;
    if (challenge !== undefined) response.setHeader('www-authenticate', challenge);
    if (retryAfterSeconds !== undefined) response.setHeader('retry-after', String(retryAfterSeconds));
    // The rest of a body that nobody will read must not be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    closeWhenDraining(response, deps);
    response.statusCode = PROBLEMS[problem.code].status;
    response.setHeader('content-type', PROBLEM_TYPE);
    response.end(`${problemDocument(problem, requestId)}\n`);
  };
}

/** What express throws for a request it can't read: an error with a status. */
function ofExpress(error: unknown): HttpProblem | undefined {
  const { status } = error as { status?: unknown };
  if (error instanceof HttpProblem || typeof status !== 'number' || status < 400 || status >= 500)
    return undefined;
  return new HttpProblem('body-invalid', 'the request could not be read');
}
