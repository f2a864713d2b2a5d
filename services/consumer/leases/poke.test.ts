import { createServer } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import { createAdminServer } from '../../shared/admin.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { close, listen } from '../../shared/server.ts';
import { POKE_PATH, poke } from './poke.ts';

let stop: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stop.map((one) => one()));
  stop = [];
});

it('is heard by a worker that is there, refused by one that stops, and never throws', async () => {
  let looks = 0;
  let stopping = false;
  const admin = createAdminServer({
    registry: createRegistry('test'),
    live: () => ({ ok: true }),
    ready: () => ({ ok: true }),
    actions: {
      [POKE_PATH]: () => {
        looks++;
        return !stopping;
      },
    },
  });
  const port = await listen(admin, 0, '127.0.0.1');
  stop.push(() => close(admin));
  expect(await poke(`127.0.0.1:${port}`)).toBe(true);
  expect(looks).toBe(1);
  stopping = true;
  expect(await poke(`127.0.0.1:${port}`)).toBe(false);
  expect((await fetch(`http://127.0.0.1:${port}${POKE_PATH}`)).status).toBe(405);
  expect((await fetch(`http://127.0.0.1:${port}/leases/other`, { method: 'POST' })).status).toBe(405);
  expect(looks).toBe(2);
});

it('gives up on who is silent, gone or no address', async () => {
  const silent = createServer(() => {});
  const port = await listen(silent, 0, '127.0.0.1');
  stop.push(async () => {
    silent.closeAllConnections();
    await close(silent);
  });
  expect(await poke(`127.0.0.1:${port}`)).toBe(false);
  expect(await poke('127.0.0.1:1')).toBe(false);
  for (const address of [
    undefined,
    '',
    'host',
    'host:99999',
    'user@host:80',
    'host:80/path',
    'http://host:80',
    '::1:80',
    'a b:80',
    'host:80\r\nx: y',
  ]) {
    expect(await poke(address)).toBe(false);
  }
});
