import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BODY_BUDGET_BYTES, EVENT, problem, ServedApp } from './fixtures.ts';

let served: ServedApp;
beforeEach(async () => {
  served = await ServedApp.start();
});
afterEach(() => served.close());

describe('the room for bodies', () => {
  it('measures a body that does not say its length while it comes', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < 50) controller.enqueue(new Uint8Array(1_000).fill(0x20));
        else controller.close();
      },
    });
    const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' };
    const response = await fetch(`${served.url}/send`, request as RequestInit);
    expect(await problem(response)).toMatchObject({ status: 413, code: 'body-too-large' });
  });

  it('has room for so many requests that wait at once, also when one connection sends them all', async () => {
    const socket = connect(served.port, '127.0.0.1');
    const one =
      'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"amount":1}';
    socket.write(one.repeat(40));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += String(chunk);
    });
    const statuses = () => (answer.match(/(?<=HTTP\/1.1 )\d+/g) ?? []).sort();
    await vi.waitFor(() => expect(statuses()).toHaveLength(40));
    socket.destroy();
    expect(new Set(statuses())).toEqual(new Set(['200', '503']));
    expect(served.budget.heldBytes).toBe(0);
  });

  it('counts what the outcomes of a batch take until its answer is sent', async () => {
    const batch = (n: number) => {
      const body = JSON.stringify(Array(n).fill({}));
      return fetch(`${served.url}/send/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    };
    const few = await batch(100);
    expect([few.status, ((await few.json()) as { failed: number }).failed]).toEqual([207, 100]);
    await vi.waitFor(() => expect(served.budget.heldBytes).toBe(0));
    expect(await problem(await batch(300))).toMatchObject({ status: 503, code: 'buffer-full' });
    expect(served.budget.heldBytes).toBe(0);
  });

  it('tells the outcomes of the lines that it has taken when there is no room for more', async () => {
    const lines = fetch(`${served.url}/send/batch?compact=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: `${JSON.stringify(EVENT)}\n`.repeat(300),
    });
    const answer = (await (await lines).json()) as { stored: number; failures: object[] };
    expect(answer.stored).toBe(Math.floor(BODY_BUDGET_BYTES / 512));
    expect(answer.failures).toEqual([expect.objectContaining({ status: 503, code: 'buffer-full' })]);
    await vi.waitFor(() => expect(served.budget.heldBytes).toBe(0));
  });

  describe('lines that take longer than a slice', () => {
    const lines = Array.from({ length: 40 }, (_, i) => `{"amount":${i}}`).join('\n');
    const send = (length: number) => {
      // Others have their turn after each few.
      served.onSubmit = () => {
        for (const until = performance.now() + 0.2; performance.now() < until; );
      };
      const socket = connect(served.port, '127.0.0.1');
      socket.write(
        `POST /send/batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\ncontent-length: ${length}\r\n\r\n${lines}`,
      );
      return socket;
    };
    const begun = async () => {
      await vi.waitFor(() => expect(served.submitted.length).toBeGreaterThan(0), { interval: 1 });
      expect(served.submitted.length).toBeLessThan(39);
    };

    it('are all taken before the answer, also when the end of the body is there already', async () => {
      const socket = send(2 * lines.length + 1);
      await begun();
      socket.write(`\n${lines}`);
      const chunks: Buffer[] = [];
      for await (const chunk of socket) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toContain('{"total":80,"stored":80,"failed":0');
      expect(served.submitted.map(({ event }) => event.amount)).toEqual(
        [...Array(80).keys()].map((i) => i % 40),
      );
      await vi.waitFor(() => expect(served.budget.heldBytes).toBe(0));
    });

    it('tell why the last ones were not taken', async () => {
      const many = '\n{"amount":1}'.repeat(300);
      const socket = send(lines.length + many.length);
      await begun();
      socket.write(many);
      const chunks: Buffer[] = [];
      for await (const chunk of socket) chunks.push(chunk as Buffer);
      const answer = Buffer.concat(chunks).toString().split('\r\n\r\n')[1] ?? '';
      const { total, stored, results } = JSON.parse(answer);
      expect([total, stored]).toEqual([196, Math.floor(BODY_BUDGET_BYTES / 512)]);
      expect(results.at(-1)).toMatchObject({ status: 503, code: 'buffer-full' });
      await vi.waitFor(() => expect(served.budget.heldBytes).toBe(0));
    });

    it('hold nothing after a client that left meanwhile', async () => {
      const socket = send(1_000);
      await begun();
      socket.resetAndDestroy();
      await vi.waitFor(() => expect(served.submitted).toHaveLength(39));
      await vi.waitFor(() => expect(served.budget.heldBytes).toBe(0));
    });
  });
});
