import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** How an HTTP/2 connection begins when the client knows that the server speaks it (RFC 9113, 3.4). */
const PREFACE = 'PRI * HTTP/2.0';

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
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  http2.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // 'close' follows
    socket.setNoDelay(true);
    socket.once('data', (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      const begins = first.toString('latin1', 0, PREFACE.length);
      (begins === PREFACE ? http2 : http1).emit('connection', socket);
      if (begins !== PREFACE) socket.resume();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      http1.close();
      await closed;
    },
  };
}
