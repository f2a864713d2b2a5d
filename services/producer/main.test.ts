import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { close, listen } from '../shared/server.ts';
import { launch } from '../testkit/processes.ts';
import { type ServiceProcess, spawnService } from '../testkit/service-process.ts';

const HEADERS = { 'content-type': 'application/json' };

/** Kinesis as far as a stop needs it: takes everything or throttles everything, after a while. */
let kinesis: Server;
let kinesisUrl: string;
let answerAfterMs: number;
let throttles: boolean;
let puts: number;
let producer: ServiceProcess | undefined;

beforeEach(async () => {
  answerAfterMs = 0;
  throttles = false;
  puts = 0;
  kinesis = createServer((incoming, response) => {
    void answer(incoming).then((body) => {
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
    });
  });
  kinesisUrl = `http://127.0.0.1:${await listen(kinesis, 0, '127.0.0.1')}`;
});

async function answer(incoming: IncomingMessage): Promise<object> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  if (!String(incoming.headers['x-amz-target']).endsWith('.PutRecords')) {
    return { StreamDescriptionSummary: { StreamStatus: 'ACTIVE' } };
  }
  puts++;
  const { Records } = JSON.parse(Buffer.concat(chunks).toString()) as { Records: unknown[] };
  await sleep(answerAfterMs);
  const throttled = { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded' };
  const stored = { ShardId: 'shardId-000000000000', SequenceNumber: '1' };
  return {
    FailedRecordCount: throttles ? Records.length : 0,
    Records: Records.map(() => (throttles ? throttled : stored)),
  };
}

afterEach(async () => {
  await producer?.stop();
  producer = undefined;
  kinesis.closeAllConnections();
  await close(kinesis);
});

async function start(env: Record<string, string> = {}): Promise<ServiceProcess> {
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: { AWS_ENDPOINT_URL_KINESIS: kinesisUrl, AWS_REGION: 'us-east-1', ...env },
  });
  return producer;
}

function post(port: number, agent: Agent): Promise<{ status: number | undefined; connection: unknown }> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', method: 'POST', path: '/send', agent, headers: HEADERS };
    const outgoing = request(options, (response) => {
      response.resume().on('end', () => {
        resolve({ status: response.statusCode, connection: response.headers.connection });
      });
    });
    outgoing.on('error', reject);
    outgoing.end('{"amount":1}');
  });
}

describe('the producer process at SIGTERM', () => {
  it('answers the request in hand on a kept connection, and exits 0 at once', async () => {
    const agent = new Agent({ keepAlive: true });
    const { ports, signal, exited } = await start();
    answerAfterMs = 400;
    const answered = post(ports.port!, agent);
    await vi.waitFor(() => expect(puts).toBe(1), 5_000);
    signal('SIGTERM');
    expect(await answered).toEqual({ status: 200, connection: 'close' });
    expect(await exited).toEqual({ code: 0, signal: null });
    agent.destroy();
  });

  it('does not wait for a client that is slow to send its request', async () => {
    const { ports, signal, exited } = await start({ EVENT_DEADLINE_MS: '100', PUT_TIMEOUT_MS: '50' });
    const socket = connect(ports.port!, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(
      'POST /send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
    );
    await post(ports.port!, new Agent());
    signal('SIGTERM');
    expect(await exited).toEqual({ code: 0, signal: null });
    socket.destroy();
  });

  it('exits non-zero and says how many events it could not store', async () => {
    const { ports, signal, exited, lastLines } = await start({ EVENT_DEADLINE_MS: '600' });
    throttles = true;
    const agent = new Agent();
    const refused = [post(ports.port!, agent), post(ports.port!, agent)];
    await vi.waitFor(() => expect(puts).toBeGreaterThan(0), 5_000);
    signal('SIGTERM');
    expect((await Promise.all(refused)).map(({ status }) => status)).toEqual([429, 429]);
    expect(await exited).toEqual({ code: 1, signal: null });
    expect(lastLines().join('\n')).toContain('2 events could not be stored before the stop');
  });
});

it('serves metrics and health on the admin port, with every outcome at 0 from the start', async () => {
  const { ports } = await start();
  const admin = `http://127.0.0.1:${ports.adminPort}`;
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  for (const outcome of ['stored', 'throttled', 'buffer-full', 'internal']) {
    expect(metrics).toContain(`weir_producer_events_total{outcome="${outcome}",service="producer"} 0`);
  }
  expect(metrics).toContain('weir_producer_buffered_records{service="producer"} 0');
  expect(await (await fetch(`${admin}/livez`)).json()).toEqual({ ok: true, stalled: {} });
  await vi.waitFor(async () => expect((await fetch(`${admin}/readyz`)).status).toBe(200), 5_000);
  expect((await fetch(`http://127.0.0.1:${ports.port}/ready`)).status).toBe(200);
  // A throttle alone leaves it ready.
  throttles = true;
  answerAfterMs = 0;
  const sending = post(ports.port!, new Agent());
  await vi.waitFor(() => expect(puts).toBeGreaterThan(1), 5_000);
  expect((await fetch(`${admin}/readyz`)).status).toBe(200);
  throttles = false;
  expect((await sending).status).toBe(200);
});

it('names all bad variables and exits with the code for a bad configuration', async () => {
  const env = { PORT: 'eighty', TRUST_PROXY: 'everybody' };
  const started = launch({
    name: 'producer',
    args: ['services/producer/main.ts'],
    env,
    ready: () => undefined,
  });
  await expect(started).rejects.toThrow(
    /exited before it was ready \(78\)[\s\S]*PORT="eighty"[\s\S]*TRUST_PROXY/,
  );
});
