import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { createAdminServer } from './admin.ts';
import { createRegistry } from './metrics.ts';
import { close, listen } from './server.ts';

const healthy = () => ({ ok: true });
const server = createAdminServer({ registry: createRegistry('test'), live: healthy, ready: healthy });
afterEach(() => close(server));

it('gives no client more than a few seconds to send its request, also not its header', async () => {
  expect(server.headersTimeout).toBeLessThanOrEqual(10_000);
  expect(server.requestTimeout).toBeLessThanOrEqual(10_000);
  // Node looks at them each 30 s unless told; here they are what a slow client is closed by.
  server.headersTimeout = 100;
  const port = await listen(server, 0, '127.0.0.1');
  const socket = connect(port, '127.0.0.1');
  socket.write('GET /livez HTTP/1.1\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(String(answer)).toMatch(/^HTTP\/1\.1 408 /);
});
