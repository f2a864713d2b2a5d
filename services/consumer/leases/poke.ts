import { request } from 'node:http';

/** Path on a worker's admin server that makes it look at the lease table at once. */
export const POKE_PATH = '/leases/look';
/** Long for a call within a cluster; after it the poke counts as failed, and the table alone has to do. */
const TIMEOUT_MS = 300;
/** A host name, an IPv4 address or an IPv6 address in brackets, and a port; nothing that could change path or user. */
const ADDRESS = /^(?<host>[a-zA-Z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):(?<port>\d{1,5})$/;

/**
 * Tells a worker that there is something for it in the lease table. It carries nothing, so that a false one costs its
 * receiver a reading of the table and no more.
 *
 * @param address `host:port` as the table has it.
 * @returns whether the worker heard it and is going to look; never throws.
 */
export function poke(address: string | undefined): Promise<boolean> {
  const { host, port } = ADDRESS.exec(address ?? '')?.groups ?? {};
  if (host === undefined || Number(port) > 65_535) return Promise.resolve(false);
  return new Promise((resolve) => {
    const call = request(
      {
        host: host.replace(/^\[|\]$/g, ''),
        port: Number(port),
        path: POKE_PATH,
        method: 'POST',
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 202);
      },
    );
    call.on('error', () => resolve(false));
    call.end();
  });
}
