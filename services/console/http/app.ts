import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Response } from 'express';
import helmet, { type HelmetOptions } from 'helmet';
import { errorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Lookups } from '../lookups.ts';
import type { Poller } from '../poller.ts';
import { assetFolders, VENDOR_FILES } from './assets.ts';
import type { EventStream } from './event-stream.ts';
import { BadQueryError, queryOf, time } from './query.ts';

export interface AppDeps {
  poller: Poller;
  events: EventStream;
  lookups: Lookups;
  maxViewers: number;
  log: Logger;
}

/** The page runs its own files and nothing else; text never becomes markup or code. */
const HEADERS: HelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'"],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
      requireTrustedTypesFor: ["'script'"],
      trustedTypes: ["'none'"],
    },
  },
  crossOriginResourcePolicy: { policy: 'same-origin' },
  referrerPolicy: { policy: 'no-referrer' },
  xFrameOptions: { action: 'deny' },
};
const RETRY_SECONDS = 5;

/** The page and its API. All of it is reading. */
export function buildApp({ poller, events, lookups, maxViewers, log }: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', false);
  app.use(helmet(HEADERS));
  app.use(readOnly);

  app.get('/api/events', (_request, response) => {
    if (events.viewers >= maxViewers)
      return void busy(response, 'as many pages are open as this console serves');
    events.join(response, poller.look());
  });
  app.get('/api/state', async (_request, response) => {
    const leave = poller.look();
    try {
      json(response, await poller.everything());
    } finally {
      leave();
    }
  });
  app.get('/api/record', async (request, response) => {
    const { id } = queryOf(request, ['id']);
    const record = await lookups.record(id);
    if (record) json(response, record);
    else problem(response, 404, 'there is no record of this id: it expired, or was never stored');
  });
  app.get('/api/source', async (request, response) => {
    const { source, at } = queryOf(request, ['source', 'at']);
    json(response, await lookups.source(source, time(at)));
  });
  app.get('/api/anomalies', async (request, response) => {
    const { source, before } = queryOf(request, ['source', 'before']);
    json(response, await lookups.search(source, time(before)));
  });

  const { page, vendor } = assetFolders();
  // Asked for anew each time, and answered by 304: a page of an older release must not run against this one.
  const options = { cacheControl: false, fallthrough: true, redirect: false };
  app.use((_request, response, next) => {
    response.setHeader('cache-control', 'no-cache');
    next();
  });
  for (const file of VENDOR_FILES) {
    app.get(`/vendor/${file}`, (_request, response) =>
      response.sendFile(file, { root: vendor, cacheControl: false }),
    );
  }
  app.use(express.static(page, options));
  app.use((_request, response) => problem(response, 404, 'there is nothing here'));
  app.use(answerError(log));
  return app;
}

const readOnly: RequestHandler = (request, response, next) => {
  if (request.method === 'GET' || request.method === 'HEAD') return next();
  response.setHeader('allow', 'GET, HEAD');
  problem(response, 405, 'the console only shows');
};

function json(response: Response, body: unknown): void {
  response.setHeader('cache-control', 'no-store');
  response.json(body);
}

function problem(response: Response, status: number, detail: string): void {
  response.status(status).type('application/problem+json').send(JSON.stringify({ status, detail }));
}

function busy(response: Response, detail: string): void {
  response.setHeader('retry-after', String(RETRY_SECONDS));
  problem(response, 503, detail);
}

function answerError(log: Logger): ErrorRequestHandler {
  return (error, request, response, _next) => {
    if (response.headersSent || request.socket.destroyed) return void request.socket.destroy();
    const { status } = error as { status?: unknown };
    if (error instanceof BadQueryError) return problem(response, 400, error.message);
    if (errorCode(error) === 'busy') return busy(response, (error as Error).message);
    // What express says of a path that it can't read.
    if (typeof status === 'number' && status >= 400 && status < 500)
      return problem(response, status, 'the request could not be read');
    log.error({ err: error, path: request.path }, 'a request failed');
    problem(response, 502, `it could not be read (${errorCode(error)})`);
  };
}
