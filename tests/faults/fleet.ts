import { pino } from 'pino';
import { consumerEnv } from '../../services/consumer/config.ts';
import { type Consumer, createConsumer } from '../../services/consumer/create-consumer.ts';
import { leaseCallTimeoutMs } from '../../services/consumer/leases/held-lease.ts';
import { createConsumerMetrics } from '../../services/consumer/metrics.ts';
import type { Worker } from '../../services/consumer/worker.ts';
import type { Clock } from '../../services/shared/clock.ts';
import { parseEnv } from '../../services/shared/config.ts';
import { createRegistry } from '../../services/shared/metrics.ts';
import { Progress } from '../../services/shared/progress.ts';
import { EMULATOR_CREDENTIALS } from '../../services/testkit/emulators.ts';
import { seededRandom } from '../../services/testkit/seeded-random.ts';
import { type ServiceProcess, spawnService } from '../../services/testkit/service-process.ts';
import { Gate, GatedClock } from './gate.ts';

/** Time for work in hand at a stop, in ms of the run. */
const GRACE_MS = 8_000;

/** The consumers of a run, by name. */
export interface Fleet {
  start(name: string): Promise<void>;
  /** As SIGKILL. */
  kill(name: string): Promise<void>;
  /** As SIGSTOP and SIGCONT. */
  freeze(name: string): void;
  thaw(name: string): void;
  /** As SIGTERM; resolves when it is gone. */
  stop(name: string): Promise<void>;
  /** Sets its wall clock on or back. */
  jump(name: string, ms: number): void;
  /** Ends whatever is left. */
  close(): Promise<void>;
}

export interface FleetOptions {
  seed: number;
  /** A consumer's environment, by its name. */
  env: (name: string) => Record<string, string>;
  /** Told each line that a consumer logs. */
  onLine: ((name: string, line: string) => void) | undefined;
}

const WALL_CLOCK = new URL('./wall-clock.ts', import.meta.url);
/** How far the wall clock of a real process jumps, either way. */
const JUMP_MS = 150_000;

/** Real processes. The wall clock of each jumps by an amount of its own. */
export class ProcessFleet implements Fleet {
  readonly #options: FleetOptions;
  readonly #processes = new Map<string, ServiceProcess>();
  #started = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  async start(name: string): Promise<void> {
    const { env, onLine, seed } = this.#options;
    const jumpMs = (seededRandom(seed + this.#started++)() * 2 - 1) * JUMP_MS;
    const started = await spawnService({
      name,
      entry: 'services/consumer/main.ts',
      env: {
        ...env(name),
        NODE_OPTIONS: `--import=${WALL_CLOCK.href}`,
        WALL_CLOCK_JUMP_MS: String(Math.round(jumpMs)),
      },
      ...(onLine ? { onLine: (line: string) => onLine(name, line) } : {}),
    });
    this.#processes.set(name, started);
  }

  async kill(name: string): Promise<void> {
    this.#processes.get(name)?.signal('SIGKILL');
    await this.#processes.get(name)?.exited;
    this.#processes.delete(name);
  }

  freeze(name: string): void {
    this.#processes.get(name)?.signal('SIGSTOP');
  }

  thaw(name: string): void {
    this.#processes.get(name)?.signal('SIGCONT');
  }

  async stop(name: string): Promise<void> {
    const process = this.#processes.get(name);
    const exit = await process?.stop();
    this.#processes.delete(name);
    // 0, or 1 when the deadline passed with work left, which faults may bring about.
    if (exit && exit.code !== 0 && exit.code !== 1) {
      throw new Error(`${name} ended with ${exit.code ?? exit.signal}:\n${process?.lastLines().join('\n')}`);
    }
  }

  jump(name: string): void {
    this.#processes.get(name)?.signal('SIGUSR2');
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#processes.keys(), (name) => this.kill(name)));
  }
}

interface Member {
  gate: Gate;
  clock: GatedClock;
  consumer: Consumer;
  worker: Worker;
}

/**
 * Consumers in this process, each the pod's own composition. One that is dead has no network and no time any more: its
 * calls never arrive, their answers never come, its waits never end. One that is frozen gets all of that late.
 */
export class InProcessFleet implements Fleet {
  readonly #options: FleetOptions;
  readonly #clock: Clock;
  readonly #callFactor: number;
  readonly #onGate: (name: string, gate: Gate) => void;
  readonly #members = new Map<string, Member>();

  /**
   * @param callFactor how much sooner than in real time calls to the lease table time out.
   * @param onGate told the gate of each consumer, through which its calls are to go.
   */
  constructor(
    options: FleetOptions,
    clock: Clock,
    callFactor: number,
    onGate: (name: string, gate: Gate) => void,
  ) {
    this.#options = options;
    // The SDK's chain looks for them there, as in a pod.
    process.env.AWS_ACCESS_KEY_ID ??= EMULATOR_CREDENTIALS.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY ??= EMULATOR_CREDENTIALS.secretAccessKey;
    this.#clock = clock;
    this.#callFactor = callFactor;
    this.#onGate = onGate;
  }

  async start(name: string): Promise<void> {
    const { env, onLine, seed } = this.#options;
    const config = parseEnv(consumerEnv, env(name));
    const gate = new Gate();
    this.#onGate(name, gate);
    const clock = new GatedClock(this.#clock, gate);
    const log = onLine
      ? pino({ level: config.LOG_LEVEL }, { write: (line) => onLine(name, line.trimEnd()) })
      : pino({ level: 'silent' });
    const consumer = await createConsumer(config, {
      progress: new Progress(clock),
      clock,
      random: seededRandom(seed + this.#members.size),
      log,
      metrics: createConsumerMetrics(createRegistry('test')),
      leaseCallTimeoutMs: leaseCallTimeoutMs(config.LEASE_DURATION_MS) / this.#callFactor,
    });
    const worker = consumer.join({ workerId: name, address: `${name}:9090` }, (address) =>
      this.#poke(address),
    );
    this.#members.set(name, { gate, clock, consumer, worker });
    worker.start();
  }

  async kill(name: string): Promise<void> {
    const member = this.#members.get(name);
    member?.gate.kill();
    member?.consumer.close();
    this.#members.delete(name);
  }

  freeze(name: string): void {
    this.#members.get(name)?.gate.close();
  }

  thaw(name: string): void {
    this.#members.get(name)?.gate.open();
  }

  async stop(name: string): Promise<void> {
    const member = this.#members.get(name);
    if (!member) return;
    // Work that was left at the deadline is no fault: what counts is what the tables hold.
    const stopped = member.worker.stop(GRACE_MS).catch(() => {});
    // One that is killed meanwhile never says that it has stopped.
    await Promise.race([stopped, member.gate.died()]);
    await this.kill(name);
  }

  jump(name: string, ms: number): void {
    const clock = this.#members.get(name)?.clock;
    if (clock) clock.skewMs += ms;
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#members.keys(), (name) => this.kill(name)));
  }

  async #poke(address: string | undefined): Promise<boolean> {
    const member = this.#members.get(address?.split(':')[0] ?? '');
    await member?.gate.settled();
    return member?.worker.look() ?? false;
  }
}
