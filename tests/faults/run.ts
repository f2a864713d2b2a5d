import { createDetector } from '../../services/detectors/registry.ts';
import { systemClock } from '../../services/shared/clock.ts';
import { listShards } from '../../services/shared/list-shards.ts';
import { type FaultProxy, startFaultProxy } from '../../services/testkit/fault-proxy.ts';
import {
  type KinesisDouble,
  startKinesisDouble,
} from '../../services/testkit/kinesis-double/kinesis-double.ts';
import { ScaledClock } from '../../services/testkit/scaled-clock.ts';
import { Draw } from '../../services/testkit/seeded-random.ts';
import { TestStack } from '../../services/testkit/stack.ts';
import { Chaos } from './chaos.ts';
import { Crew } from './crew.ts';
import { redriveAll } from './dead-letters.ts';
import { type Fleet, InProcessFleet, ProcessFleet } from './fleet.ts';
import { JumpingClock } from './gate.ts';
import { Oracle } from './oracle.ts';
import { Pacer } from './pacer.ts';
import { SCENARIOS, type ScenarioName } from './scenarios.ts';
import { type RunConfig, type Schedule, type Step, scheduleOf } from './schedule.ts';
import { mergeShards, splitShard, unread } from './shards.ts';
import { TableWatch } from './table-watch.ts';
import { differences, readTables } from './tables.ts';
import { Workload } from './workload.ts';

/** Consumers in this process, or real ones. */
export type Level = 'in-process' | 'processes';

/** In one process time is quicker, as far as the machine can follow: see `Pacer`. */
const LEVELS = {
  'in-process': { factor: 6, leaseMs: 9_000 },
  processes: { factor: 1, leaseMs: 1_500 },
} as const;
/** Lease times without a checkpoint or state that moved, after which a run counts as stuck, and an ambush as missed. */
const STUCK_LEASES = 20;
const LOOK_MS = 20;
const LOOKS_AT_REST = 3;

export interface RunOptions {
  seed: number;
  level: Level;
  /** Runs this instead of the schedule that the seed gives; in process only. */
  scenario?: ScenarioName;
  /**
   * Calls to the lease table time out by the run's clock, and not six times as late. For a machine that has nothing else to do: where
   * a loop lags by a third of a second, calls that were answered time out, leases are lost, and the run goes on for ever.
   */
  promptTimeouts?: boolean;
  /** Of a DynamoDB emulator; the run has tables of its own. */
  dynamodb: string;
  onLine?: (name: string, line: string) => void;
}

export interface RunResult {
  seed: number;
  level: Level;
  /** What must not be: tables that differ from the replay, writes that must never happen. */
  wrong: string[];
  /** Why the run did not get to its end, so that its tables say nothing. It passed when there is neither. */
  unfinished: string[];
  /** Kinesis records, and what they came to. */
  records: number;
  items: number;
  steps: number;
  seconds: number;
}

/** One run of what `seed` says, from the creation of the stream to the comparison of the tables with the oracle's. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const startedAt = performance.now();
  const run = await Run.create(options);
  try {
    return { ...(await run.go()), seconds: (performance.now() - startedAt) / 1000 };
  } finally {
    await run.close();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #schedule: Schedule;
  readonly #draw: Draw;
  readonly #time: JumpingClock;
  readonly #double: KinesisDouble;
  readonly #stack: TestStack;
  readonly #watch: TableWatch;
  readonly #chaos: Chaos;
  readonly #closers: (() => Promise<unknown>)[];
  #fleet: Fleet | undefined;
  #crew: Crew | undefined;
  #stream: FaultProxy | undefined;
  /** Dead letters that were put through again. */
  readonly #redriven = new Set<string>();

  static async create(options: RunOptions): Promise<Run> {
    const { factor, leaseMs } = LEVELS[options.level];
    const scaled = factor === 1 ? undefined : new ScaledClock(factor);
    const time = new JumpingClock(scaled ?? systemClock);
    const unlimited = Number.POSITIVE_INFINITY;
    const limits = {
      writeBytesPerSecond: unlimited,
      writeRecordsPerSecond: unlimited,
      controlPerSecond: unlimited,
    };
    const double = await startKinesisDouble({ clock: time, limits });
    const schedule = options.scenario ? SCENARIOS[options.scenario] : scheduleOf(options.seed);
    const { shards } = schedule.config;
    const stack = await TestStack.create(
      { kinesis: double.endpoint, dynamodb: options.dynamodb },
      { shards },
    );
    const pacer = scaled && new Pacer(scaled, leaseMs, stack.dynamodb);
    const steps = [...schedule.steps];
    return new Run(options, { config: schedule.config, steps }, time, pacer, double, stack);
  }

  private constructor(
    options: RunOptions,
    schedule: Schedule,
    time: JumpingClock,
    pacer: Pacer | undefined,
    double: KinesisDouble,
    stack: TestStack,
  ) {
    this.#options = options;
    this.#schedule = schedule;
    this.#draw = new Draw(options.seed + 1_000_003);
    this.#time = time;
    this.#double = double;
    this.#stack = stack;
    this.#watch = new TableWatch(stack.resources);
    this.#chaos = new Chaos(options.seed, LEVELS[options.level], this.#watch);
    this.#closers = [
      async () => pacer?.stop(),
      () => stack.dropTables(),
      () => stack.close(),
      () => double.stop(),
    ];
  }

  async go(): Promise<Omit<RunResult, 'seconds'>> {
    const { seed, level } = this.#options;
    const { config, steps } = this.#schedule;
    const fleet = await this.#createFleet(config);
    this.#fleet = fleet;
    this.#crew = new Crew(fleet, this.#chaos, this.#time, LEVELS[level].leaseMs);
    const { stream } = this.#stack.resources;
    const workload = new Workload(this.#draw, this.#stack.kinesis, stream, {
      sources: config.sources,
      retries: config.dedupeWindow > 0,
      aggregated: config.aggregated,
    });
    for (const step of steps) await this.#step(step, workload);
    const unfinished = await this.#rest();
    const shards = await listShards(this.#stack.kinesis, stream);
    const records = this.#double.records(stream);
    const detector = createDetector(config.detector);
    const expected = new Oracle(config, stream, detector).replay(records, shards);
    const wrong = this.#watch.violations.slice(0, 10);
    const found = await readTables(this.#stack);
    // Who does a slice again writes its dead letters again: one that was redriven may be there or not.
    for (const id of this.#redriven) {
      expected.deadLetters.delete(id);
      found.deadLetters.delete(id);
    }
    // What was not read is missing in the tables: no fault of theirs.
    if (unfinished.length === 0) wrong.push(...differences(found, expected));
    return {
      seed,
      level,
      wrong,
      unfinished,
      records: records.length,
      items: expected.records.size + expected.states.size + expected.deadLetters.size,
      steps: steps.length,
    };
  }

  async close(): Promise<void> {
    await this.#fleet?.close();
    for (const close of this.#closers) await close();
  }

  async #createFleet(config: RunConfig): Promise<Fleet> {
    const { seed, level, dynamodb, onLine, promptTimeouts = false } = this.#options;
    const { leaseMs, factor } = LEVELS[level];
    const [tables, stream] = await Promise.all([
      startFaultProxy(dynamodb, this.#chaos.dynamodb),
      startFaultProxy(this.#double.endpoint, this.#chaos.kinesis),
    ]);
    this.#closers.push(tables.stop, stream.stop);
    this.#stream = stream;
    const env = (name: string) => ({
      ...this.#stack.env,
      AWS_ENDPOINT_URL_DYNAMODB: `${tables.endpoint}/${name}`,
      AWS_ENDPOINT_URL_KINESIS: `${stream.endpoint}/${name}`,
      STARTING_POSITION: 'TRIM_HORIZON',
      DETECTOR: config.detector,
      STORE: config.store,
      DEDUPE_WINDOW: String(config.dedupeWindow),
      STATE_CACHE_BYTES: String(1024 * 1024),
      LEASE_DURATION_MS: String(leaseMs),
      CHECKPOINT_INTERVAL_MS: String(config.checkpointMs),
      POLL_INTERVAL_MS: '200',
      FETCH: config.fetch,
    });
    const options = { seed, env, onLine };
    return level === 'processes'
      ? new ProcessFleet(options)
      : new InProcessFleet(options, this.#time, promptTimeouts ? factor : 1, (name, gate) =>
          this.#chaos.gate(name, gate),
        );
  }

  async #step(step: Step, workload: Workload): Promise<void> {
    const crew = this.#crew as Crew;
    const { leaseMs } = LEVELS[this.#options.level];
    switch (step.does) {
      case 'put':
        return workload.put(step.events);
      case 'start':
        return crew.start();
      case 'kill':
        return crew.kill(step.pick);
      case 'stop':
        return crew.stop(step.pick);
      case 'freeze':
        return crew.freeze(step.pick, step.leases);
      case 'freeze-at':
        return crew.freezeAt(step.pick, step.write, step.leases);
      case 'kill-at-checkpoint':
        return crew.killAtCheckpoint(step.pick);
      case 'met':
        return crew.met(STUCK_LEASES);
      case 'overtake':
        await this.#readToEnd();
        return crew.thawCaught();
      case 'read-to-end':
        return this.#readToEnd();
      case 'lose-leases':
        this.#chaos.losing = { latency: step.latency };
        return;
      case 'lose-ends':
        this.#chaos.unansweredEnds = step.answers;
        return;
      case 'redrive':
        for (const id of await redriveAll(this.#stack)) this.#redriven.add(id);
        return;
      case 'break-subscriptions':
        return this.#stream?.breakSubscriptions();
      case 'split':
        return splitShard(this.#stack, step.pick);
      case 'merge':
        return mergeShards(this.#stack, step.pick);
      case 'faults':
        this.#chaos.probability = step.probability;
        return;
      case 'jump':
        this.#time.jump(step.ms);
        return crew.jump(step.pick, step.pick % 2 === 0 ? step.ms : -step.ms);
      case 'expire-iterators':
        return this.#double.expireIterators();
      case 'wait':
        return this.#time.sleep(step.leases * leaseMs);
    }
  }

  /** @throws Error when they don't get there. */
  async #readToEnd(): Promise<void> {
    const stuck = await this.#stuckBefore(async () => (await this.#left()).length === 0);
    if (stuck) throw new Error(stuck);
  }

  /** Waits until `there`. @returns why it did not come to that. */
  async #stuckBefore(there: () => Promise<boolean>): Promise<string | undefined> {
    const limitMs = STUCK_LEASES * LEVELS[this.#options.level].leaseMs;
    let moves = this.#watch.moves;
    let movedAt = this.#time.monotonic();
    while (!(await there())) {
      await systemClock.sleep(LOOK_MS);
      if (this.#watch.moves > moves) movedAt = this.#time.monotonic();
      moves = this.#watch.moves;
      if (this.#time.monotonic() - movedAt < limitMs) continue;
      const left = (await this.#left()).join(', ');
      return `stuck: no checkpoint and no state moved for ${STUCK_LEASES} lease times, with shards that are not read to their end: ${left}`;
    }
    return undefined;
  }

  /** The faults end, whoever was frozen wakes up, one fresh worker finishes what is left. @returns why it did not come to that. */
  async #rest(): Promise<string[]> {
    const fleet = this.#fleet as Fleet;
    this.#chaos.rest();
    await this.#crew?.disband();
    await fleet.start('last');
    let looks = 0;
    const stuck = await this.#stuckBefore(async () => {
      looks = (await this.#left()).length === 0 ? looks + 1 : 0;
      return looks === LOOKS_AT_REST;
    });
    await fleet.stop('last');
    return stuck ? [stuck] : [];
  }

  /** Shards that are not read to their last record, or to their end. */
  async #left(): Promise<string[]> {
    const records = this.#double.records(this.#stack.resources.stream);
    return await unread(this.#stack, records, this.#watch);
  }
}
