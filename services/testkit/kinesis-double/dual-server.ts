import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { Socket } from 'node:net';
import { listenByPreface } from '../by-preface.ts';

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

export interface DualServer {
  readonly port: number;
  /** Breaks all connections and closes. */
  stop(): Promise<void>;
}

/**
 * Listens for HTTP/1.1 and cleartext HTTP/2 on one free port of the loopback interface, told apart by their first
 * bytes: the SDK has one endpoint, sends unary calls as HTTP/1.1, and subscribes by HTTP/2.
 */
export async function startDualServer(
  handle: (request: Request, response: Response) => Promise<void>,
): Promise<DualServer> {
  const onRequest = (request: Request, response: Response) => {
    handle(request, response).catch((error: unknown) => {
      // Ours, or a client that went away: the connection says so, and the error is there to be seen.
      if (!request.destroyed) request.destroy(error instanceof Error ? error : undefined);
    });
  };
  const http1 = createHttpServer(onRequest);
  const http2 = createHttp2Server({}, onRequest);
  const sessions = new Set<ServerHttp2Session>();
  http2.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  const listener = await listenByPreface({
    http1: (socket: Socket) => http1.emit('connection', socket),
    http2: (socket: Socket) => http2.emit('connection', socket),
  });
  return {
    port: listener.port,
    async stop() {
      for (const session of sessions) session.destroy();
      http1.close();
      await listener.stop();
    },
  };
}
