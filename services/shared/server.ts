import type { Server } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';

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

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/**
 * `host:port` under which others reach a server of this process: the host it listens on or, when it listens on all,
 * the first address that is not the loopback's: in a pod there is one.
 */
export function reachableAddress(host: string, port: number): string {
  const outer = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  const reachable = WILDCARDS.has(host) ? (outer?.address ?? '127.0.0.1') : host;
  return isIPv6(reachable) ? `[${reachable}]:${port}` : `${reachable}:${port}`;
}

/** How often a closing server looks for connections that have become idle. */
const SWEEP_MS = 20;

/** Time that requests in hand have where nobody is harmed by a cut: admin servers, pages, in ms. */
export const SHORT_GRACE_MS = 2_000;

/**
 * Stops accepting, lets running requests finish, drops kept connections once they are idle.
 *
 * @param graceMs time after which those are cut that still send a request or read its answer. Default: never.
 */
export async function close(server: Server, graceMs?: number): Promise<void> {
  // Node drops the connections that are idle now, but one whose request ends later would stay for its keep-alive time.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
  const cut = graceMs === undefined ? undefined : setTimeout(() => server.closeAllConnections(), graceMs);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(sweep);
  clearTimeout(cut);
}
