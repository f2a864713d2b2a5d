import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamScaler } from '../../cdk8s/crd/stream-scaler.ts';
import { type FaultProxy, startFaultProxy } from '../../services/testkit/fault-proxy.ts';
import { ScaledClock } from '../../services/testkit/scaled-clock.ts';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { DEPLOYMENTS, Scenario } from '../kube/scenario.ts';
import { Pods } from './pods.ts';

/**
 * How many times as fast the stream's time runs: while a backlog gathers and nobody works, while it is worked off, and while
 * next to nothing comes and time must pass. What a call really takes, a few ms, is as many times as long for the pods: when more
 * came, so high a speed would make them look slow.
 */
const SPEEDS = { gathering: 200, working: 10, waiting: 80 } as const;
/** An item takes a pod so long to write, in ms of the stream's time: so a pod does 5 records a second of it. */
const ITEM_MS = 192;
const SOURCES = 64;
const FEED_MS = 50;

/**
 * A consumer group whose pods follow the replicas of a Deployment on a real API server, a stream that is fed at a rate, and a
 * controller process: all but the API server in a time of its own, which runs faster.
 */
export class Drill {
  readonly clock: ScaledClock;
  readonly scenario: Scenario;
  readonly pods: Pods;
  /** Records a second of the stream's time. */
  rate = 0;
  /** No pod is started or ended until then. */
  podsFollow = false;
  sent = 0;
  /** Numbers of open shards, replicas of the Deployment, as they came. */
  readonly shards: number[] = [];
  readonly replicas: number[] = [];
  readonly #proxy: FaultProxy;
  readonly #stopped = new AbortController();
  #controller: ServiceProcess | undefined;
  #turn = Promise.resolve();
  #loops: Promise<void>[] = [];

  private constructor(clock: ScaledClock, scenario: Scenario, pods: Pods, proxy: FaultProxy) {
    this.clock = clock;
    this.scenario = scenario;
    this.pods = pods;
    this.#proxy = proxy;
  }

  static async start(dynamodb: string): Promise<Drill> {
    const clock = new ScaledClock(SPEEDS.gathering);
    const proxy = await startFaultProxy(dynamodb, {
      async before({ operation, body }) {
        if (operation !== 'BatchWriteItem') return undefined;
        return { kind: 'latency', ms: (itemsOf(body) * ITEM_MS) / clock.factor };
      },
      async after() {},
    });
    let drill: Drill | undefined;
    const scenario = await Scenario.start(dynamodb, {
      shards: 2,
      // A reshard takes a minute. What a read gives is what a pod writes at once, so that its rates are smooth.
      double: { clock, changeMs: 60_000, limits: { readRecordsPerCall: 25, describePerSecond: 1_000 } },
      kubelet: async (_name, replicas) => (drill?.podsFollow ? await drill.pods.resize(replicas) : 0),
    });
    const pods = new Pods(
      {
        ...scenario.stack.env,
        AWS_ENDPOINT_URL_DYNAMODB: proxy.endpoint,
        STARTING_POSITION: 'TRIM_HORIZON',
        WRITE_CONCURRENCY: '1',
        // Nothing is read ahead: what a read gives is what a pod has in hand.
        PREFETCH_BYTES: '1',
        LEASE_DURATION_MS: '45000',
      },
      clock,
    );
    drill = new Drill(clock, scenario, pods, proxy);
    await scenario.createWorkload(DEPLOYMENTS, 'Deployment', 'consumer');
    drill.#loops = [drill.#feed(), drill.#watch()];
    return drill;
  }

  /** Seconds of the stream's time since an arbitrary start. */
  get seconds(): number {
    return this.clock.monotonic() / 1_000;
  }

  async startController(): Promise<void> {
    await this.#inTurn(() => this.#startController());
  }

  /** One start or end of a controller at a time. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work);
    await this.#turn;
  }

  async #startController(): Promise<void> {
    const controller = await this.scenario.startController(
      {
        STREAM_SPEED: String(this.clock.factor),
        STREAM_EPOCH: String(Math.round(this.clock.epoch)),
        LEADER_LEASE_DURATION_MS: '1000',
        LEADER_RENEW_DEADLINE_MS: '800',
        LEADER_RETRY_MS: '100',
      },
      'tests/scaling/controller-at-speed.ts',
    );
    this.#controller = controller;
    // One that lost its leader lease, for the machine was busy, ends by itself: a kubelet starts another one.
    void controller.exited.then(() =>
      this.#inTurn(async () => {
        if (this.#controller === controller && !this.#stopped.signal.aborted) await this.#startController();
      }),
    );
  }

  /** Lets time run at another speed, for a controller that is there by a new one. */
  async pace(phase: keyof typeof SPEEDS): Promise<void> {
    await this.#inTurn(async () => {
      const controller = this.#controller;
      this.#controller = undefined;
      await controller?.stop();
      this.clock.factor = SPEEDS[phase];
      if (controller) await this.#startController();
    });
  }

  /** SIGKILL, and another one in its place. */
  async killController(): Promise<void> {
    await this.#inTurn(async () => {
      const controller = this.#controller;
      this.#controller = undefined;
      controller?.signal('SIGKILL');
      await controller?.exited;
      await this.#startController();
    });
  }

  scaler(): Promise<StreamScaler> {
    return this.scenario.scaler('drill');
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#loops);
    await this.#turn;
    await this.#controller?.stop();
    this.podsFollow = false;
    await this.pods.resize(0);
    await this.scenario.stop();
    await this.#proxy.stop();
  }

  /** Puts what is due by the rate. */
  async #feed(): Promise<void> {
    const { signal } = this.#stopped;
    let due = 0;
    for (let last = this.seconds; !signal.aborted; await sleep(FEED_MS)) {
      const now = this.seconds;
      due += (now - last) * this.rate;
      last = now;
      const count = Math.min(500, Math.floor(due));
      if (count === 0) continue;
      due -= count;
      const records = Array.from({ length: count }, () => {
        const source = `source-${this.sent++ % SOURCES}`;
        return { key: source, data: JSON.stringify({ request_id: randomUUID(), source, amount: 1 }) };
      });
      await this.scenario.stack.put(records);
    }
  }

  /** Notes each change of the shards and the replicas. */
  async #watch(): Promise<void> {
    const note = (list: number[], value: number) => {
      if (list.at(-1) !== value) list.push(value);
    };
    for (; !this.#stopped.signal.aborted; await sleep(100)) {
      note(this.shards, await this.scenario.openShards());
      note(this.replicas, await this.scenario.replicas('consumer'));
    }
  }
}

/** Items that a BatchWriteItem call is to write. */
function itemsOf(body: Buffer): number {
  const { RequestItems } = JSON.parse(body.toString()) as { RequestItems: Record<string, unknown[]> };
  return Object.values(RequestItems).reduce((sum, items) => sum + items.length, 0);
}
