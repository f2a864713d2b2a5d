import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { listen } from '../../shared/server.ts';
import { waitFor } from '../../testkit/wait-for.ts';
import { createConsoleMetrics } from '../metrics.ts';
import { EventStream } from './event-stream.ts';

const BIG = 'x'.repeat(256 * 1024);
let events: EventStream;
let server: Server;
let port: number;
let left: number;
let asked: number;
let responses: ServerResponse[];

beforeEach(async () => {
  left = 0;
  asked = 0;
  responses = [];
  events = new EventStream({
    clock: systemClock,
    metrics: createConsoleMetrics(createRegistry('test')),
    everything: async () => ({ whole: ++asked }),
  });
  server = createServer((_request, response) => {
    responses.push(response);
    events.join(response, () => left++);
  });
  port = await listen(server, 0, '127.0.0.1');
});
afterEach(async () => {
  events.close();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

/** A page by hand, which can stop reading. */
function view() {
  const socket = connect(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  socket.on('error', () => {});
  return { socket, text: () => text };
}

describe('server-sent events', () => {
  it('begin with everything, then tell what is new, and end when the page is left', async () => {
    const { socket, text } = view();
    await waitFor(() => text().includes('event: everything\ndata: {"whole":1}\n\n'));
    events.publish('state', { text: 'line\nbreak\r\n\ndata: forged' });
    await waitFor(() =>
      text().includes('event: state\ndata: {"text":"line\\nbreak\\r\\n\\ndata: forged"}\n\n'),
    );
    expect(text()).toContain('retry: 1000');
    socket.destroy();
    await waitFor(() => left === 1);
    expect(events.viewers).toBe(0);
  });

  it('hold back what a page does not take, keep the others going, and give it everything again later', async () => {
    const slow = view();
    await waitFor(() => slow.text().includes('everything'));
    const quick = view();
    await waitFor(() => quick.text().includes('everything'));
    slow.socket.pause();
    for (let i = 0; i < 80; i++) {
      events.publish('state', BIG);
      await waitFor(() => quick.text().length > (i + 1) * BIG.length);
    }
    // 20 MB were told, far more than a socket takes. What the slow one missed is held nowhere.
    const [held = 0] = responses.map(({ writableLength }) => writableLength);
    expect(held).toBeGreaterThan(0);
    expect(held).toBeLessThan(2 * BIG.length);
    const missed = asked;
    slow.socket.resume();
    await waitFor(() => asked > missed && slow.text().includes(`{"whole":${missed + 1}}`));
    events.publish('state', 'after');
    await waitFor(() => slow.text().includes('"after"'));
    slow.socket.destroy();
    quick.socket.destroy();
    await waitFor(() => left === 2);
  });
});
