import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from '../services/testkit/processes.ts';
import { spawnService } from '../services/testkit/service-process.ts';
import { load } from './load.ts';
import { type BenchCase, percentile } from './report.ts';

const WARM_UP = 20_000;
/** Clock ticks a second in /proc: 100 on every Linux we know. */
const TICKS = 100;

interface Setup {
  /** How long the stub takes for a PutRecords call, in ms. */
  latencyMs: number;
  connections: number;
  sources: number;
  order: 'relaxed' | 'strict';
  events: number;
}

const USUAL: Setup = { latencyMs: 0, connections: 64, sources: 1_000, order: 'relaxed', events: 100_000 };
/** One busy source at a Kinesis that takes its time: what strict order costs. */
const ONE_SOURCE: Setup = { ...USUAL, latencyMs: 10, sources: 1, events: 20_000 };
const SETUPS: Setup[] = [
  USUAL,
  { ...USUAL, connections: 256 },
  { ...USUAL, connections: 256, latencyMs: 10 },
  ONE_SOURCE,
  { ...ONE_SOURCE, order: 'strict', events: 1_000 },
];

/**
 * `POST /send` over loopback against a Kinesis stub. On Linux the producer has one core for itself, and load and stub
 * share another.
 */
export async function benchProducer(): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  for (const setup of SETUPS) cases.push(await singleEvents(setup));
  return cases;
}

async function singleEvents({ latencyMs, connections, sources, order, events }: Setup): Promise<BenchCase> {
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
    env: { STREAM_NAME: 'bench', AWS_ENDPOINT_URL_KINESIS: endpoint, SOURCE_ORDER: order },
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
          `{"source":"sensor-${n % sources}","amount":${n % 500},"timestamp":"2026-01-02T03:04:05.678Z","unit":"kPa"}`,
      });
    await post(Math.min(WARM_UP, events));
    const before = await counts(endpoint);
    const cpuBefore = cpuSeconds(producer.pid);
    const { seconds, latencies } = await post(events);
    const cpu = cpuSeconds(producer.pid) - cpuBefore;
    const after = await counts(endpoint);
    if (after.stored - before.stored !== events)
      throw new Error(`${after.stored - before.stored} of ${events} stored`);
    return {
      name: `single events, ${connections} connections, ${sources} sources, Kinesis ${latencyMs} ms, ${order}`,
      events,
      seconds,
      eventsPerSecond: events / seconds,
      cpuSecondsPer10k: (cpu / events) * 10_000,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      recordsPerCall: events / (after.calls - before.calls),
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
