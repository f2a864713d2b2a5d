import {
  createServer,
  maxHeaderSize,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Socket } from 'node:net';
import type { Express } from 'express';
import { newRequestId } from '../../shared/ids.ts';
import type { ProducerMetrics } from '../metrics.ts';
import { listenerOf, messagesOf } from './messages.ts';
import { HttpProblem, PROBLEM_TYPE, PROBLEMS, problemDocument } from './problems.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** Its headers have to be there sooner than the whole request. */
const HEADERS_TIMEOUT_MS = 10_000;
/** Longer than the idle time of an AWS load balancer (60 s), which must be the one that closes first. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** How often those two times are looked at; Node's default is 30 s, which would treble them. */
const CONNECTIONS_CHECK_MS = 1_000;
/** How long a client that was refused may go on sending: closed at once, the connection would lose the answer. */
const LINGER_MS = 1_000;

export interface ApiServerOptions {
  /** Time for a whole request, in ms. */
  requestTimeoutMs: number;
  /** Time without a byte either way after which a connection is closed, in ms. */
  idleTimeoutMs: number;
  /** More are closed at once. */
  maxConnections: number;
  metrics: ProducerMetrics;
}

/** The server of the HTTP API. What Node would answer itself, and without a word, is answered with a problem document. */
export function createApiServer(app: Express, options: ApiServerOptions): Server {
  const refused = new WeakSet<Socket>();
  const toApp = listenerOf(app);
  const listener: RequestListener = (request, response) => {
    // It was told that there is no answer: what becomes whole only now must not be stored.
    if (!refused.has(request.socket)) toApp(request, response);
  };
  const server = createServer(
    {
      ...messagesOf(app),
      requestTimeout: options.requestTimeoutMs,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, options.requestTimeoutMs),
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      // The app looks itself.
      requireHostHeader: false,
    },
    listener,
  );
  // With a listener of its own, Node does not answer 100 before anybody has looked at the headers; reading the body does.
  server.on('checkContinue', listener);
  server.on('checkExpectation', listener);
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    // Each byte that it goes on sending is such an error again.
    if (refused.has(socket)) return;
    refused.add(socket);
    refuse(socket, problemOf(error), options.metrics);
  });
  server.setTimeout(options.idleTimeoutMs);
  server.maxConnections = options.maxConnections;
  return server;
}

/** @returns undefined for what is no fault of the bytes: the connection broke. */
function problemOf({ code = '' }: NodeJS.ErrnoException): HttpProblem | undefined {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpProblem(
        'request-timeout',
        'the request took too long to come; send it again, and faster',
      );
    case 'HPE_HEADER_OVERFLOW':
      return new HttpProblem('header-too-large', `a header may have ${maxHeaderSize} bytes`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HttpProblem('body-too-large', 'the extensions of the chunks are too large');
    default:
      return code.startsWith('HPE_')
        ? new HttpProblem('request-invalid', 'what came is not an HTTP/1.1 request')
        : undefined;
  }
}

/** Answers a client whose bytes are no request, or come too slowly for one. Node has given it up, so the connection goes. */
function refuse(socket: Socket, problem: HttpProblem | undefined, metrics: ProducerMetrics): void {
  // A connection that was opened and never used asked for nothing.
  if (!problem || !socket.writable || socket.bytesRead === 0) {
    socket.destroy();
    return;
  }
  // What Node's own handling of these errors looks at: the next answer on the connection. It has no public name.
  const { _httpMessage: next } = socket as { _httpMessage?: ServerResponse | null };
  if (!next) {
    answer(socket, problem, metrics);
    return;
  }
  // It is the answer of the request that fails, which whoever reads its body gives. Else it is that of an earlier one: a
  // refusal would be taken for it, and an event that is stored be sent again.
  const { headersSent, req: request } = next;
  const read = !headersSent && !request.complete && request.listenerCount('error') > 0;
  if (read) request.emit('error', problem);
  else socket.destroy();
}

function answer(socket: Socket, problem: HttpProblem, metrics: ProducerMetrics): void {
  metrics.events.inc({ outcome: problem.code });
  const { status } = PROBLEMS[problem.code];
  const body = `${problemDocument(problem, newRequestId())}\n`;
  const headers = [...SECURITY_HEADERS, 'content-type', PROBLEM_TYPE, 'connection', 'close'];
  headers.push('date', new Date().toUTCString(), 'content-length', String(Buffer.byteLength(body)));
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  socket.end(`${head}\r\n${body}`);
  const lingering = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(lingering));
}
