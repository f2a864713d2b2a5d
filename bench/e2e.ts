import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDynalite } from '../services/testkit/emulators.ts';
import { startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type Endpoints, TestStack } from '../services/testkit/stack.ts';
import { startFastStore } from './fast-store.ts';
import { type BenchCase, cpuSeconds, percentile } from './report.ts';

/** What AWS's services take, typically: a PutRecords call, the way from there to a subscriber, a BatchWriteItem call. */
const PUT_MS = 10;
const PUSH_MS = 70;
const WRITE_MS = 5;
const RATE = 1_000;
const SOURCES = 200;
const WARM_UP_SECONDS = 5;
const SECONDS = 20;
const TICK_MS = 5;
const DRAIN_MS = 10_000;

const CASES: { name: string; consumer: Record<string, string>; pushMs: number }[] = [
  { name: 'fan-out, push after 70 ms', consumer: { FETCH: 'fanout' }, pushMs: PUSH_MS },
  { name: 'fan-out, push at once: what is ours', consumer: { FETCH: 'fanout' }, pushMs: 0 },
  { name: 'polling', consumer: { FETCH: 'polling' }, pushMs: 0 },
];

/**
 * From the moment a client posts an event to the moment its item can be read, at 1,000 single events a second from 200
 * sources into 2 shards: producer and consumer with their defaults as processes, the double with AWS's limits
 * and delays, a store that takes 5 ms. The clock that is read is one: this process is client, stream and store.
 */
export async function benchEndToEnd(only = ''): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  for (const setup of CASES) if (setup.name.includes(only)) cases.push(await run(setup));
  return cases;
}

async function run({ name, consumer, pushMs }: (typeof CASES)[number]): Promise<BenchCase> {
  const dynalite = await startDynalite();
  const double = await startKinesisDouble({ latencyMs: PUT_MS, pushDelayMs: pushMs });
  const storedAt = new Map<number, number>();
  // The stack's own names don't matter here: it is asked for the table's before the store begins.
  const endpoints: Endpoints = { kinesis: double.endpoint, dynamodb: dynalite.endpoint };
  const stack = await TestStack.create(endpoints, { shards: 2 });
  const store = await startFastStore(stack.resources.recordsTable, dynalite.endpoint, WRITE_MS, (body) => {
    const now = performance.now();
    for (const [, n] of body.matchAll(/"n":\{"N":"(\d+)"\}/g))
      if (!storedAt.has(Number(n))) storedAt.set(Number(n), now);
  });
  const env = { AWS_ENDPOINT_URL_DYNAMODB: store.endpoint };
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  try {
    const producer = await stack.start('producer', env);
    const worker = await stack.start('consumer', { ...env, STARTING_POSITION: 'TRIM_HORIZON', ...consumer });
    const sentAt = new Map<number, number>();
    const answered: number[] = [];
    const post = (n: number) => {
      const body = JSON.stringify({ source: `sensor-${n % SOURCES}`, amount: n % 500, n });
      const startedAt = performance.now();
      sentAt.set(n, startedAt);
      const sending = request(
        {
          host: '127.0.0.1',
          port: producer.ports.port,
          path: '/send',
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json' },
        },
        (response) => {
          response.resume();
          if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`);
          response.once('end', () => answered.push(performance.now() - startedAt));
        },
      );
      sending.end(body);
    };
    let n = 0;
    const send = async (seconds: number) => {
      const startedAt = performance.now();
      const first = n;
      for (const last = first + seconds * RATE; n < last; ) {
        const due = Math.min(last, first + Math.floor(((performance.now() - startedAt) * RATE) / 1000));
        while (n < due) post(n++);
        await sleep(TICK_MS);
      }
    };
    await send(WARM_UP_SECONDS);
    const measured = n;
    answered.length = 0;
    const cpuBefore = cpuSeconds(producer.pid) + cpuSeconds(worker.pid);
    const startedAt = performance.now();
    await send(SECONDS);
    const seconds = (performance.now() - startedAt) / 1000;
    const cpu = cpuSeconds(producer.pid) + cpuSeconds(worker.pid) - cpuBefore;
    for (const until = performance.now() + DRAIN_MS; storedAt.size < n && performance.now() < until; )
      await sleep(50);
    if (storedAt.size < n) throw new Error(`${n - storedAt.size} of ${n} events were not stored`);
    const latencies: number[] = [];
    for (let i = measured; i < n; i++) latencies.push((storedAt.get(i) ?? Number.NaN) - (sentAt.get(i) ?? 0));
    const events = n - measured;
    return {
      name,
      events,
      seconds,
      eventsPerSecond: events / seconds,
      cpuSecondsPer10k: (cpu / events) * 10_000,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      maxMs: latencies.at(-1) ?? Number.NaN,
      answeredP50Ms: percentile(answered, 0.5),
      answeredP99Ms: percentile(answered, 0.99),
    };
  } finally {
    agent.destroy();
    await stack.close();
    await store.stop();
    await double.stop();
    await dynalite.stop();
  }
}
