import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { launch } from '../services/testkit/processes.ts';
import { spawnService } from '../services/testkit/service-process.ts';
import { load } from './load.ts';
import { CpuProfile } from './profile.ts';
import { type BenchCase, cpuSeconds, percentile } from './report.ts';

/** Share of a case that is sent before it is measured. */
const WARM_UP = 0.2;
/** Share of a profile that is start and warm-up. */
const SKIPPED = 0.3;

interface Setup {
  /** Events a request; 0: `POST /send` with one. */
  batch: number;
  connections: number;
  sources: number;
  /** How long the stub takes for a PutRecords call, in ms. */
  latencyMs: number;
  aggregation: 'off' | 'key' | 'shard';
  order: 'relaxed' | 'strict';
  events: number;
  /** What is measured: our producer, or one PutRecord a request. */
  subject?: 'baseline';
}

const SINGLE: Setup = {
  batch: 0,
  connections: 64,
  sources: 1_000,
  latencyMs: 0,
  aggregation: 'off',
  order: 'relaxed',
  events: 80_000,
};
const BATCH: Setup = { ...SINGLE, batch: 500, connections: 8, events: 2_000_000 };
/** One busy source at a Kinesis that takes its time: what strict order costs. */
const ONE_SOURCE: Setup = { ...SINGLE, latencyMs: 10, sources: 1, events: 20_000 };
const SETUPS: Setup[] = [
  { ...SINGLE, subject: 'baseline', events: 20_000 },
  SINGLE,
  { ...SINGLE, aggregation: 'shard' },
  { ...SINGLE, connections: 256 },
  { ...SINGLE, connections: 256, latencyMs: 10 },
  { ...SINGLE, connections: 256, latencyMs: 10, aggregation: 'shard' },
  ONE_SOURCE,
  { ...ONE_SOURCE, order: 'strict', events: 1_000 },
  { ...ONE_SOURCE, order: 'strict', aggregation: 'shard' },
  { ...BATCH, batch: 100, events: 200_000 },
  { ...BATCH, batch: 100, aggregation: 'shard', events: 200_000 },
  { ...BATCH, events: 200_000 },
  { ...BATCH, aggregation: 'key' },
  { ...BATCH, aggregation: 'shard' },
  { ...BATCH, aggregation: 'shard', latencyMs: 10 },
];

/**
 * HTTP over loopback against a Kinesis stub with one shard. On Linux the producer has one core for itself, and load and
 * stub share another.
 *
 * @param only name of the cases to run must hold this.
 * @param profiled say where the producer's time goes; its figures are then some 10 % worse.
 */
export async function benchProducer(only = '', profiled = false): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  for (const setup of SETUPS) {
    if (!nameOf(setup).includes(only)) continue;
    const profile = profiled ? await CpuProfile.create() : undefined;
    cases.push(await run(setup, profile));
    if (profile) printShares(nameOf(setup), await profile.shares(SKIPPED));
  }
  return cases;
}

function printShares(name: string, shares: readonly [place: string, share: number][]): void {
  process.stderr.write(`where the producer's time goes: ${name}\n`);
  for (const [place, share] of shares) {
    if (share >= 0.005) process.stderr.write(`${(share * 100).toFixed(1).padStart(6)} %  ${place}\n`);
  }
}

function nameOf({ batch, connections, sources, latencyMs, aggregation, order, subject }: Setup): string {
  const what = batch > 0 ? `batches of ${batch}` : 'single events';
  const how = subject ?? `aggregation ${aggregation}, ${order}`;
  return `${what}, ${connections} connections, ${sources} sources, Kinesis ${latencyMs} ms, ${how}`;
}

async function run(setup: Setup, profile?: CpuProfile): Promise<BenchCase> {
  const { latencyMs, connections, batch, events } = setup;
  const { process: stub, ready: stubPort } = await launch({
    name: 'kinesis-stub',
    args: [fileURLToPath(new URL('kinesis-stub.ts', import.meta.url)), String(latencyMs)],
    env: {},
    ready: (line) => /^stub listening on (\d+)$/.exec(line)?.[1],
  });
  const endpoint = `http://127.0.0.1:${stubPort}`;
  const producer = await spawnService({
    name: 'producer',
    entry: setup.subject === 'baseline' ? 'bench/baseline-producer.ts' : 'services/producer/main.ts',
    env: {
      STREAM_NAME: 'bench',
      AWS_ENDPOINT_URL_KINESIS: endpoint,
      SOURCE_ORDER: setup.order,
      AGGREGATION: setup.aggregation,
    },
    ...(profile ? { nodeArgs: profile.nodeArgs } : {}),
  });
  try {
    pin(producer.pid, 0);
    pin(stub.pid, 1);
    pin(process.pid, 1);
    const body = bodies(setup);
    const post = (n: number) =>
      load({
        host: '127.0.0.1',
        port: producer.ports.port ?? 0,
        path: batch > 0 ? '/send/batch?compact=true' : '/send',
        connections,
        requests: n / Math.max(1, batch),
        body,
      });
    await post(events * WARM_UP);
    const before = await counts(endpoint);
    const cpuBefore = cpuSeconds(producer.pid);
    const { seconds, latencies } = await post(events);
    const cpu = cpuSeconds(producer.pid) - cpuBefore;
    const after = await counts(endpoint);
    if (setup.aggregation === 'off' && after.records - before.records !== events) {
      throw new Error(`${after.records - before.records} of ${events} stored`);
    }
    return {
      name: nameOf(setup),
      events,
      seconds,
      eventsPerSecond: events / seconds,
      cpuSecondsPer10k: (cpu / events) * 10_000,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      recordsPerCall: (after.records - before.records) / (after.calls - before.calls),
      eventsPerCall: events / (after.calls - before.calls),
    };
  } finally {
    await producer.stop();
    await stub.stop();
  }
}

/** The body of the n-th request. Batches come in turn from a stock, so that making them costs nothing. */
function bodies({ batch, sources }: Setup): (n: number) => string {
  const event = (n: number) =>
    `{"source":"sensor-${n % sources}","amount":${n % 500},"timestamp":"2026-01-02T03:04:05.678Z","unit":"kPa"}`;
  if (batch === 0) return event;
  const stock = Array.from({ length: 20 }, (_, k) => {
    const events = Array.from({ length: batch }, (_, i) => event(k * batch + i));
    return `[${events.join(',')}]`;
  });
  return (n) => stock[n % stock.length] as string;
}

async function counts(endpoint: string): Promise<{ calls: number; records: number }> {
  return (await (await fetch(endpoint)).json()) as { calls: number; records: number };
}

function pin(pid: number, core: number): void {
  try {
    execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
  } catch {
    // No taskset here: the figures are those of an unpinned producer.
  }
}
