import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { Lease } from '../shared/kcl/lease-row.ts';
import { listShards, type ShardInfo } from '../shared/list-shards.ts';
import type { Progress } from '../shared/progress.ts';
import type { ConsoleMetrics, ReadingName } from './metrics.ts';
import { type Anomaly, readNewest } from './reads/anomalies.ts';
import { type DeadLetters, DeadLetterWalk } from './reads/dead-letters.ts';
import { readLeases } from './reads/leases.ts';
import { RatesReader, type Scrape } from './reads/rates.ts';
import { Reading, type ReadingOptions } from './reads/reading.ts';
import type { Scaler } from './reads/stream-scaler.ts';
import { type Columns, History, type Point } from './view/history.ts';
import { type Rates, RateWindow } from './view/rates.ts';
import { Scaling, type ScalingView } from './view/scaling.ts';
import { REPORT_TIMEOUT_MS, type ShardsView, viewShards } from './view/shards.ts';
import { type Verdict, verdict } from './view/verdict.ts';

/**
 * How often each thing is read while at least one page is open, whatever the number of pages: 0.033 ListShards calls a
 * second, and of DynamoDB 0.5 Scans of the leases, 0.5 Queries of anomalies and 0.2 Scans of a page of dead letters.
 * docs/explanation/console.md says what that costs.
 */
const EVERY_MS = {
  metrics: 1_000,
  leases: 2_000,
  anomalies: 2_000,
  'dead-letters': 5_000,
  'stream-scaler': 5_000,
  shards: 30_000,
} as const;
const TICK_MS = 1_000;
/** As liveness names what tells the pages. */
const LOOP = 'telling';
/** How long a page waits for the first readings; what is slower comes later. */
const FIRST_MS = 3_000;
/** How long reading goes on after the last page was closed: a reload, a reconnection. */
const LINGER_MS = 5_000;

/** What changes all the time, sent whole each second. */
export interface State {
  /** ms since the epoch. */
  at: number;
  stream: string;
  region: string;
  verdict: Verdict;
  rates: Rates & { scoredFrom: 'metrics' | 'leases' };
  /** Pods whose metrics are read; `configured` is false when nobody said where producers are. */
  producers: { answered: number; of: number; configured: boolean };
  consumers: { answered: number; of: number };
  shards: ShardsView | undefined;
  /** `absent`: no StreamScaler is configured. */
  scaling: ScalingView | 'absent' | undefined;
  problems: { reading: ReadingName; problem: string; ageMs: number | undefined }[];
}

/** Everything: what a page gets when it is opened. */
export interface Everything {
  state: State;
  history: Columns;
  anomalies: readonly Anomaly[];
  deadLetters: DeadLetters | undefined;
}

/** Told what is new. */
export interface Listener {
  state(state: State, point: Point): void;
  /** Newest first. */
  anomalies(anomalies: readonly Anomaly[]): void;
  deadLetters(deadLetters: DeadLetters): void;
}

export interface PollerDeps {
  kinesis: KinesisClient;
  dynamodb: DynamoDBClient;
  stream: string;
  region: string;
  tables: { records: string; leases: string; deadLetters: string };
  producerMetricsUrls: readonly string[];
  /** Left out: there is no StreamScaler. */
  readScaler?: (() => Promise<Scaler>) | undefined;
  progress: Progress;
  clock: Clock;
  random: Random;
  metrics: ConsoleMetrics;
}

/** Reads what the pages show: one for all of them, and only while there is one. Holds a bounded amount, whatever flows. */
export class Poller {
  readonly #deps: PollerDeps;
  readonly #listener: Listener;
  readonly #scrapes: Reading<Scrape>;
  readonly #leases: Reading<Map<string, Lease>>;
  readonly #shards: Reading<ShardInfo[]>;
  readonly #anomalies: Reading<Anomaly[]>;
  readonly #deadLetters: Reading<DeadLetters>;
  readonly #scaler: Reading<Scaler> | undefined;
  readonly #window = new RateWindow();
  readonly #history = new History();
  readonly #scaling = new Scaling();
  #scaled: ScalingView | undefined;
  #known = new Set<string>();
  #lookers = 0;
  #running: { stop: AbortController; done: Promise<unknown>; first: Promise<unknown> } | undefined;
  #linger: AbortController | undefined;

  constructor(deps: PollerDeps, listener: Listener) {
    this.#deps = deps;
    this.#listener = listener;
    const { kinesis, dynamodb, stream, tables, clock, readScaler } = deps;
    const reading = <T>(name: keyof typeof EVERY_MS, read: ReadingOptions<T>['read']) =>
      new Reading<T>({ ...deps, name, everyMs: EVERY_MS[name], read });
    const rates = new RatesReader(deps.producerMetricsUrls, () => this.#consumerAddresses());
    this.#leases = reading('leases', async (signal) => {
      const leases = await readLeases(dynamodb, tables.leases, stream, signal);
      const listed = this.#shards.value;
      if (listed && [...leases.keys()].some((id) => !listed.some(({ shardId }) => shardId === id)))
        this.#shards.soon();
      return leases;
    });
    this.#shards = reading('shards', () => listShards(kinesis, stream));
    this.#scrapes = reading('metrics', async (signal) => {
      // They say where the consumers are.
      await this.#atMost(FIRST_MS / 2, this.#leases.tried, signal);
      const scrape = await rates.read(signal);
      this.#window.add(clock.monotonic(), scrape.totals);
      return scrape;
    });
    this.#anomalies = reading('anomalies', async (signal) => {
      const newest = await readNewest(dynamodb, tables.records, clock.now(), signal);
      const fresh = newest.filter(({ id }) => !this.#known.has(id));
      this.#known = new Set(newest.map(({ id }) => id));
      if (fresh.length > 0) this.#listener.anomalies(fresh);
      return newest;
    });
    const walk = new DeadLetterWalk(dynamodb, tables.deadLetters);
    this.#deadLetters = reading('dead-letters', async (signal) => {
      const before = this.#deadLetters.value;
      const letters = await walk.next(signal);
      if (JSON.stringify(letters) !== JSON.stringify(before)) this.#listener.deadLetters(letters);
      return letters;
    });
    this.#scaler = readScaler
      ? reading('stream-scaler', async () => {
          const scaler = await readScaler();
          this.#scaled = this.#scaling.view(scaler);
          return scaler;
        })
      : undefined;
  }

  /** Somebody looks, until the function that it returns is called. */
  look(): () => void {
    this.#lookers++;
    this.#linger?.abort();
    this.#running ??= this.#start();
    let looking = true;
    return () => {
      if (!looking) return;
      looking = false;
      this.#lookers--;
      if (this.#lookers === 0) void this.#stopSoon();
    };
  }

  /** All that is known, once each thing was read, or tried to be, for the first time; after 3 s at the latest. */
  async everything(): Promise<Everything> {
    await this.#running?.first;
    return {
      state: this.state(),
      history: this.#history.columns(),
      anomalies: this.#anomalies.value ?? [],
      deadLetters: this.#deadLetters.value,
    };
  }

  state(): State {
    const { clock, stream, region, producerMetricsUrls } = this.#deps;
    const now = clock.now();
    const shards =
      this.#shards.value && this.#leases.value
        ? viewShards(this.#shards.value, this.#leases.value, now)
        : undefined;
    const scrape = this.#scrapes.value;
    const rates = this.#window.rates();
    const fromMetrics = (scrape?.consumers.answered ?? 0) > 0;
    const maxLagSeconds = this.#scaled?.maxLagSeconds;
    return {
      at: now,
      stream,
      region,
      verdict: verdict(shards, maxLagSeconds === undefined ? undefined : maxLagSeconds * 1_000),
      rates: {
        ...rates,
        // What can't be read now isn't what was read last.
        inPerSecond: (scrape?.producers.answered ?? 0) > 0 ? rates.inPerSecond : undefined,
        scoredPerSecond: fromMetrics ? rates.scoredPerSecond : shards?.recordsPerSecond,
        scoredFrom: fromMetrics ? 'metrics' : 'leases',
        p50Ms: fromMetrics ? rates.p50Ms : undefined,
        p99Ms: fromMetrics ? rates.p99Ms : undefined,
        anomaliesPerMinute: fromMetrics ? rates.anomaliesPerMinute : undefined,
      },
      producers: {
        ...(scrape?.producers ?? { answered: 0, of: 0 }),
        configured: producerMetricsUrls.length > 0,
      },
      consumers: scrape?.consumers ?? { answered: 0, of: 0 },
      shards,
      scaling: this.#scaler ? this.#scaled : 'absent',
      problems: this.#readings.flatMap(({ name, problem, readAt }) =>
        problem === undefined
          ? []
          : [{ reading: name, problem, ageMs: readAt === undefined ? undefined : now - readAt }],
      ),
    };
  }

  /** Stops reading, and waits for what is under way. */
  async stop(): Promise<void> {
    this.#linger?.abort();
    const running = this.#running;
    this.#running = undefined;
    running?.stop.abort();
    await running?.done;
  }

  get #readings(): Reading<unknown>[] {
    const scaler = this.#scaler ? [this.#scaler] : [];
    return [this.#scrapes, this.#leases, this.#shards, this.#anomalies, this.#deadLetters, ...scaler];
  }

  #start() {
    const stop = new AbortController();
    // Rates over a time in which nobody looked would be no one's.
    this.#window.clear();
    const readings = this.#readings.map((reading) => reading.run(stop.signal));
    const first = this.#first(stop.signal);
    const done = first.then(() => this.#ticks(stop.signal)).then(() => Promise.all(readings));
    return { stop, first, done };
  }

  async #first(signal: AbortSignal): Promise<void> {
    this.#deps.progress.tick(LOOP, FIRST_MS);
    await this.#atMost(FIRST_MS, Promise.all(this.#readings.map(({ tried }) => tried)), signal);
    if (!signal.aborted) this.#tick();
  }

  async #atMost(ms: number, what: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const waiting = new AbortController();
    await Promise.race([what, this.#deps.clock.sleep(ms, AbortSignal.any([signal, waiting.signal]))]);
    waiting.abort();
  }

  async #ticks(signal: AbortSignal): Promise<void> {
    const { progress, clock } = this.#deps;
    while (!signal.aborted) {
      progress.tick(LOOP, TICK_MS);
      await clock.sleep(TICK_MS, signal);
      if (!signal.aborted) this.#tick();
    }
    progress.forget(LOOP);
  }

  #tick(): void {
    const state = this.state();
    const { rates, shards, scaling } = state;
    const scaled = typeof scaling === 'object' ? scaling : undefined;
    const point: Point = {
      at: state.at,
      inPerSecond: rates.inPerSecond,
      scoredPerSecond: rates.scoredPerSecond,
      p50Ms: rates.p50Ms,
      p99Ms: rates.p99Ms,
      lagMs: shards?.worst?.lagMs,
      workers: shards?.workers.length,
      replicas: scaled?.replicas?.current,
      replicasDesired: scaled?.replicas?.desired,
      shards: shards?.open,
      shardsDesired: scaled?.shards?.desired,
    };
    this.#history.add(point);
    this.#listener.state(state, point);
  }

  async #stopSoon(): Promise<void> {
    this.#linger = new AbortController();
    const { signal } = this.#linger;
    await this.#deps.clock.sleep(LINGER_MS, signal);
    if (!signal.aborted && this.#lookers === 0) await this.stop();
  }

  #consumerAddresses(): string[] {
    const now = this.#deps.clock.now();
    const leases = this.#leases.value?.values() ?? [];
    const addresses = [...leases].flatMap(({ workerAddress, report, leaseOwner }) =>
      workerAddress !== undefined &&
      leaseOwner !== undefined &&
      report !== undefined &&
      now - report.reportedAt <= REPORT_TIMEOUT_MS &&
      /^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i.test(workerAddress)
        ? [workerAddress]
        : [],
    );
    return [...new Set(addresses)].sort();
  }
}
