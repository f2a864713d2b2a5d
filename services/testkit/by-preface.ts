import { type AddressInfo, createServer, type Socket } from 'node:net';

/** How an HTTP/2 connection begins when the client knows that the server speaks it (RFC 9113, 3.4). */
const PREFACE = 'PRI * HTTP/2.0';

/** Who is given a connection, by what it speaks. */
export interface ByPreface {
  http1: (socket: Socket) => void;
  http2: (socket: Socket) => void;
}

/**
 * Listens on a free port of the loopback interface for connections of HTTP/1.1 and of cleartext HTTP/2, told apart by their
 * first bytes.
 */
export async function listenByPreface(on: ByPreface): Promise<{ port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // 'close' follows
    socket.setNoDelay(true);
    socket.once('data', (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      const http2 = first.toString('latin1', 0, PREFACE.length) === PREFACE;
      (http2 ? on.http2 : on.http1)(socket);
      if (!http2) socket.resume();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    /** Breaks all connections. */
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
