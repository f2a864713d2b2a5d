import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Request } from 'express';
import { afterEach, expect, it } from 'vitest';
import { close, listen } from '../../shared/server.ts';
import { BodyBudget, readBody } from './body-reader.ts';

const server = createServer();
afterEach(() => close(server));

it.each(['', 'content-encoding: gzip\r\n'])(
  'reads nothing, for ever, of a client that left while nobody read yet (%j)',
  async (header) => {
    const port = await listen(server, 0, '127.0.0.1');
    const socket = connect(port, '127.0.0.1');
    socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${header}content-length: 9\r\n\r\n{`);
    const [request] = (await once(server, 'request')) as [IncomingMessage];
    request.on('error', () => {});
    socket.resetAndDestroy();
    await new Promise((resolve) => request.once('close', resolve));
    const budget = new BodyBudget(1_000_000);
    const read = readBody(request as Request, { limit: 1_000, budget });
    await expect(read).rejects.toMatchObject({ code: 'body-invalid' });
    expect(budget.heldBytes).toBe(0);
  },
);
