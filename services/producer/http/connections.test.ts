import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EVENT, ServedApp } from './fixtures.ts';

let served: ServedApp;
beforeEach(async () => {
  served = await ServedApp.start();
});
afterEach(() => served.close());

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    served.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

describe('the connections', () => {
  it('closes the connection with the answer when the stop came in between', async () => {
    const kept = await served.post(JSON.stringify(EVENT));
    expect(kept.headers.get('connection')).toBe('keep-alive');
    served.onSubmit = () => {
      served.draining = true;
    };
    const last = await served.post(JSON.stringify(EVENT));
    expect([last.status, last.headers.get('connection')]).toEqual([200, 'close']);
  });

  it('closes the connection on a body that it will not read to its end', async () => {
    const socket = connect(served.port, '127.0.0.1');
    socket.write(
      'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n{',
    );
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer.toLowerCase()).toContain('connection: close');
  });

  it('asks for a body only once it wants it', async () => {
    const exchange = async (head: string) => {
      const socket = connect(served.port, '127.0.0.1');
      const body = '{"amount":1}';
      socket.write(
        `POST /send HTTP/1.1\r\nhost: x\r\n${head}expect: 100-continue\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n`,
      );
      let answer = '';
      for await (const chunk of socket) {
        if (answer === '' && /^HTTP\/1.1 100 /.test(String(chunk))) socket.write(body);
        answer += String(chunk);
      }
      return answer.match(/HTTP\/1.1 \d+/g);
    };
    const taken = 'content-type: application/json\r\n';
    expect(await exchange(taken)).toEqual(['HTTP/1.1 100', 'HTTP/1.1 200']);
    expect(await exchange('content-type: text/plain\r\n')).toEqual(['HTTP/1.1 415']);
  });

  it('writes neither to the log nor to stderr when clients leave in the middle', async () => {
    // Express's last resort for an error that nobody handled.
    const written = vi.spyOn(console, 'error').mockImplementation(() => {});
    for (const part of ['{"amount":', '{"amount":1,"text":"\u001b[31mforged"']) {
      const socket = connect(served.port, '127.0.0.1');
      socket.write(
        `POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n${part}`,
      );
      await once(served.server, 'request');
      socket.destroy();
      await vi.waitFor(async () => {
        expect(await connections()).toBe(0);
      });
    }
    expect((await served.post(JSON.stringify(EVENT))).status).toBe(200);
    expect([written.mock.calls, served.logged]).toEqual([[], []]);
    written.mockRestore();
  });
});
