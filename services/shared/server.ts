import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Listens and returns the port, the system's choice when `port` is 0. @throws the listen error (EADDRINUSE …). */
export async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}

/** How often a closing server looks for connections that have become idle. */
const SWEEP_MS = 20;

/** Stops accepting, lets running requests finish, drops kept connections once they are idle. */
export async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    // Node drops the connections that are idle now, but one whose request ends later would stay for its keep-alive time.
    const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
    server.close(() => {
      clearInterval(sweep);
      resolve();
    });
  });
}
