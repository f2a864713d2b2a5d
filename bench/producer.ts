import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from '../services/testkit/processes.ts';
import { spawnService } from '../services/testkit/service-process.ts';
import { load } from './load.ts';
import { type BenchCase, percentile } from './report.ts';

const WARM_UP = 20_000;
const EVENTS = 100_000;
/** Clock ticks a second in /proc: 100 on every Linux we know. */
const TICKS = 100;

/**
 * `POST /send` over loopback against a Kinesis stub that answers at once, or after 10 ms. On Linux the producer has one
 * core for itself, and load and stub share another.
 */
export async function benchProducer(): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  for (const [latencyMs, connections] of [
    [0, 64],
    [0, 256],
    [10, 256],
  ] as const) {
    cases.push(await singleEvents(latencyMs, connections));
  }
  return cases;
}

async function singleEvents(latencyMs: number, connections: number): Promise<BenchCase> {
  const { process: stub, ready: stubPort } = await launch({
    name: 'kinesis-stub',
    args: [fileURLToPath(new URL('kinesis-stub.ts', import.meta.url)), String(latencyMs)],
    env: {},
    ready: (line) => /^stub listening on (\d+)$/.exec(line)?.[1],
  });
  const endpoint = `http://127.0.0.1:${stubPort}`;
  const producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: { STREAM_NAME: 'bench', AWS_ENDPOINT_URL_KINESIS: endpoint },
  });
  try {
    pin(producer.pid, 0);
    pin(stub.pid, 1);
    pin(process.pid, 1);
    const post = (requests: number) =>
      load({
        host: '127.0.0.1',
        port: producer.ports.port ?? 0,
        path: '/send',
        connections,
        requests,
        body: (n) =>
          `{"source":"sensor-${n % 1000}","amount":${n % 500},"timestamp":"2026-01-02T03:04:05.678Z","unit":"kPa"}`,
      });
    await post(WARM_UP);
    const before = await counts(endpoint);
    const cpuBefore = cpuSeconds(producer.pid);
    const { seconds, latencies } = await post(EVENTS);
    const cpu = cpuSeconds(producer.pid) - cpuBefore;
    const after = await counts(endpoint);
    if (after.stored - before.stored !== EVENTS)
      throw new Error(`${after.stored - before.stored} of ${EVENTS} stored`);
    return {
      name: `single events, ${connections} connections, Kinesis ${latencyMs} ms`,
      events: EVENTS,
      seconds,
      eventsPerSecond: EVENTS / seconds,
      cpuSecondsPer10k: (cpu / EVENTS) * 10_000,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      recordsPerCall: EVENTS / (after.calls - before.calls),
    };
  } finally {
    await producer.stop();
    await stub.stop();
  }
}

async function counts(endpoint: string): Promise<{ calls: number; stored: number }> {
  return (await (await fetch(endpoint)).json()) as { calls: number; stored: number };
}

/** CPU time of a process so far, user and system, from /proc. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function pin(pid: number, core: number): void {
  try {
    execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
  } catch {
    // No taskset here: the figures are those of an unpinned producer.
  }
}
