import { Agent, createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { close } from '../services/shared/server.ts';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { eventsOf } from '../services/testkit/stream-events.ts';

const STREAM = 'stream';
/** How often the load balancer asks who is ready, and how long a pod goes on serving once it isn't. */
const CHECK_MS = 50;
const DRAIN_DELAY_MS = 400;
let kinesis: KinesisDouble;
let pods: ServiceProcess[];
let balancer: Balancer;

beforeEach(async () => {
  kinesis = await startKinesisDouble({ limits: 'none', latencyMs: 10 });
  kinesis.createStream(STREAM, 2);
  pods = [await startPod(), await startPod()];
  balancer = await startBalancer();
});
afterEach(async () => {
  await balancer.stop();
  await Promise.all(pods.map((pod) => pod.stop()));
  await kinesis.stop();
});

function startPod(): Promise<ServiceProcess> {
  return spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: {
      STREAM_NAME: STREAM,
      AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint,
      DRAIN_DELAY_MS: String(DRAIN_DELAY_MS),
    },
  });
}

interface Balancer {
  url: string;
  stop(): Promise<void>;
}

/** As an ingress does it: kept connections, requests in turn to the pods whose last check was a yes, no second try. */
async function startBalancer(): Promise<Balancer> {
  const agent = new Agent({ keepAlive: true });
  let ready: ServiceProcess[] = [];
  let stopped = false;
  const checking = (async () => {
    while (!stopped) {
      const checks = await Promise.allSettled(
        pods.map(async (pod) => ({ pod, ok: (await fetch(`http://127.0.0.1:${pod.ports.port}/ready`)).ok })),
      );
      ready = checks.flatMap((check) =>
        check.status === 'fulfilled' && check.value.ok ? [check.value.pod] : [],
      );
      await sleep(CHECK_MS);
    }
  })();
  let turn = 0;
  const server: Server = createServer((incoming, outgoing) => {
    const pod = ready[turn++ % ready.length];
    const forward = httpRequest(
      {
        host: '127.0.0.1',
        port: pod?.ports.port,
        path: incoming.url,
        method: 'POST',
        headers: incoming.headers,
        agent,
      },
      (answer) => {
        outgoing.statusCode = answer.statusCode ?? 502;
        answer.pipe(outgoing);
      },
    );
    forward.on('error', () => {
      outgoing.statusCode = 502;
      outgoing.end();
    });
    incoming.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await expect.poll(() => ready.length).toBe(2);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/send`,
    stop: async () => {
      stopped = true;
      await checking;
      agent.destroy();
      await close(server);
    },
  };
}

it('is restarted pod by pod under load without a failed request', async () => {
  let sent = 0;
  let done = false;
  const failed: number[] = [];
  const clients = Array.from({ length: 12 }, async (_, client) => {
    while (!done) {
      const response = await fetch(balancer.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ source: `s-${client}`, amount: sent }),
      });
      await response.arrayBuffer();
      sent++;
      if (response.status !== 200) failed.push(response.status);
    }
  });
  for (const pod of [...pods]) {
    await sleep(300);
    // A Deployment with maxUnavailable 0 does it in this order.
    const next = await startPod();
    const old = pod.stop();
    pods.push(next);
    expect(await old).toEqual({ code: 0, signal: null });
  }
  pods = pods.slice(2);
  await sleep(300);
  done = true;
  await Promise.all(clients);
  expect(failed).toEqual([]);
  expect(sent).toBeGreaterThan(200);
  expect(kinesis.records(STREAM).flatMap(eventsOf)).toHaveLength(sent);
});
