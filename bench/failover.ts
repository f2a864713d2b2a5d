import { setTimeout as sleep } from 'node:timers/promises';
import { SplitShardCommand } from '@aws-sdk/client-kinesis';
import { startDynalite } from '../services/testkit/emulators.ts';
import { startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type Endpoints, TestStack } from '../services/testkit/stack.ts';
import { type BenchCase, measure, percentile } from './report.ts';

const SOURCES = 16;
/** A record of each source each so many ms. */
const PUT_INTERVAL_MS = 100;
const ROUNDS = 3;
const SETTLE_TIMEOUT_MS = 60_000;

interface Scenario {
  name: string;
  shards: number;
  /** Consumers that run before anything is measured. */
  workers: number;
  /** What happens to them. @returns what to stop afterwards is the stack's. */
  disturb: (stack: TestStack, workers: Worker[]) => Promise<unknown>;
}

type Worker = Awaited<ReturnType<TestStack['start']>>;

const SCENARIOS: readonly Scenario[] = [
  { name: 'new application', shards: 4, workers: 0, disturb: (stack) => stack.start('consumer', ENV) },
  { name: 'handoff on SIGTERM, 2 workers', shards: 4, workers: 2, disturb: stopFirst },
  { name: 'handoff on SIGTERM to an idle worker', shards: 1, workers: 2, disturb: stopOwner },
  { name: 'rebalance to a worker that joins', shards: 4, workers: 1, disturb: join },
  { name: 'split, 2 workers', shards: 1, workers: 2, disturb: split },
  { name: 'failover after kill -9, 2 workers', shards: 4, workers: 2, disturb: killFirst },
  { name: 'failover after kill -9 of the only worker', shards: 4, workers: 1, disturb: killAndRestart },
];
const ENV = { STARTING_POSITION: 'TRIM_HORIZON', LOG_LEVEL: 'info' };

/**
 * How long sources stand still when workers come, go and die, with the default lease of 10 s: real consumer processes
 * on the Kinesis double and dynalite. A figure is the longest time that any record waited from its put to its scoring,
 * pauses between polls included; for a new application, from the start of its process to its first record's scoring.
 */
export async function benchFailover(only = ''): Promise<BenchCase[]> {
  const [double, dynalite] = await Promise.all([startKinesisDouble(), startDynalite()]);
  const endpoints = { kinesis: double.endpoint, dynamodb: dynalite.endpoint };
  const cases: BenchCase[] = [];
  try {
    for (const scenario of SCENARIOS) {
      if (!scenario.name.includes(only)) continue;
      const waits: number[] = [];
      let events = 0;
      const run = async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const found = await once(scenario, endpoints);
          waits.push(found.waitedMs);
          events += found.records;
        }
      };
      const found = await measure(scenario.name, 1, run);
      cases.push({
        ...found,
        events,
        eventsPerSecond: events / found.seconds,
        cpuSecondsPer10k: found.cpuSecondsPer10k / events,
        p50Ms: percentile(waits, 0.5),
        maxMs: Math.max(...waits),
      });
    }
  } finally {
    await Promise.all([double.stop(), dynalite.stop()]);
  }
  return cases;
}

async function once(
  scenario: Scenario,
  endpoints: Endpoints,
): Promise<{ waitedMs: number; records: number }> {
  const stack = await TestStack.create(endpoints, { shards: scenario.shards });
  try {
    const workers = [];
    for (let i = 0; i < scenario.workers; i++) workers.push(await stack.start('consumer', ENV));
    if (workers.length > 0) await settled(stack, scenario);
    const load = new Load(stack);
    // Long enough that each worker has seen the others renew.
    await sleep(workers.length > 0 ? 5_000 : 500);
    const disturbedAt = Date.now();
    await scenario.disturb(stack, workers);
    const putAt = await load.stop(async (count) => (await stack.countRecords()) >= count);
    const scoredAt = new Map(
      (await stack.records()).map((item) => [String(item.id), Date.parse(String(item.processed_at))]),
    );
    const waits = Array.from(putAt, ([id, at]) => (scoredAt.get(id) ?? Number.NaN) - at);
    const waitedMs = workers.length === 0 ? Math.min(...scoredAt.values()) - disturbedAt : Math.max(...waits);
    if (Number.isNaN(waitedMs)) throw new Error(`${scenario.name}: a record was not scored`);
    return { waitedMs, records: putAt.size };
  } finally {
    await stack.close();
  }
}

/** Puts a record of each source again and again. */
class Load {
  readonly #stack: TestStack;
  readonly #putAt = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(stack: TestStack) {
    this.#stack = stack;
    this.#done = this.#run();
  }

  /** Goes on for 2 s more, then until `all` of the records are there. @returns when each was put, by id. */
  async stop(all: (count: number) => Promise<boolean>): Promise<ReadonlyMap<string, number>> {
    await sleep(2_000);
    const deadline = Date.now() + SETTLE_TIMEOUT_MS;
    // A source that stands still must go on being put to until somebody reads it again.
    while (!(await all(this.#putAt.size - 2 * SOURCES))) {
      if (Date.now() > deadline) break;
      await sleep(500);
    }
    this.#stop.abort();
    await this.#done;
    while (!(await all(this.#putAt.size)) && Date.now() < deadline) await sleep(100);
    return this.#putAt;
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const records = Array.from({ length: SOURCES }, (_, source) => {
        const id = `${source}-${n}`;
        this.#putAt.set(id, Date.now());
        const event = { source: `s${source}`, amount: n, timestamp: '2026-01-01T00:00:00Z', request_id: id };
        return { key: event.source, data: JSON.stringify(event) };
      });
      await this.#stack.put(records);
      await sleep(PUT_INTERVAL_MS);
    }
  }
}

/** Waits until each shard is held, by as many workers as there can be. */
async function settled(stack: TestStack, { shards, workers }: Scenario): Promise<void> {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const owners = (await stack.leases()).map((row) => row.leaseOwner);
    const held = owners.length === shards && owners.every((owner) => owner !== undefined);
    if (held && new Set(owners).size === Math.min(shards, workers)) return;
    await sleep(100);
  }
  throw new Error('the workers did not come to rest');
}

async function stopFirst(_: TestStack, [first]: Worker[]): Promise<void> {
  await first?.stop();
}

async function stopOwner(stack: TestStack, workers: Worker[]): Promise<void> {
  const [lease] = await stack.leases();
  for (const worker of workers) {
    const ports = `:${worker.ports.adminPort}`;
    if (String(lease?.weirWorkerAddress).endsWith(ports)) await worker.stop();
  }
}

async function join(stack: TestStack): Promise<void> {
  await stack.start('consumer', ENV);
  await settled(stack, { ...(SCENARIOS[0] as Scenario), shards: 4, workers: 2 });
}

async function split(stack: TestStack): Promise<void> {
  await stack.kinesis.send(
    new SplitShardCommand({
      StreamName: stack.resources.stream,
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: String(2n ** 127n),
    }),
  );
}

async function killFirst(_: TestStack, [first]: Worker[]): Promise<void> {
  first?.signal('SIGKILL');
  await first?.exited;
}

async function killAndRestart(stack: TestStack, workers: Worker[]): Promise<void> {
  await killFirst(stack, workers);
  await stack.start('consumer', ENV);
}
