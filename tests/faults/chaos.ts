import { systemClock } from '../../services/shared/clock.ts';
import type { ProxiedCall, ProxyFault, ProxyRule } from '../../services/testkit/fault-proxy.ts';
import { Draw } from '../../services/testkit/seeded-random.ts';
import type { Gate } from './gate.ts';
import type { Write } from './schedule.ts';
import type { TableWatch } from './table-watch.ts';

/** The same call fails at most so often: a consumer may give an item up that fails 5 times while others are stored. */
const MAX_FAULTS_OF_A_CALL = 3;
const MAX_LATENCY_MS = 300;
/** Share of the latencies that are about a lease's time: the call arrives when its worker may be a zombie. */
const LONG_SHARE = 0.03;

/** Waits for the next write of its kind that a worker makes. */
interface Ambush {
  worker: string;
  write: Write;
  /** Called when the write comes, which waits for the promise. */
  before?: () => Promise<void>;
  /** Called when the table has it, before its worker hears of it. */
  after?: () => void;
}

/**
 * What befalls the calls of a run's workers, each of which is known by the path of its endpoints. Which call gets which
 * fault follows from the seed, the worker and how many calls it made; when the calls are made does not.
 */
export class Chaos {
  readonly #seed: number;
  readonly #time: { factor: number; leaseMs: number };
  readonly #watch: TableWatch;
  readonly #draws = new Map<string, Draw>();
  readonly #gates = new Map<string, Gate>();
  readonly #faults = new Map<string, number>();
  #ambush: Ambush | undefined;
  readonly #caught = new Map<ProxiedCall, Ambush>();
  /** Probability with which a call fails. */
  probability = 0;
  /** No renewal of a lease arrives, and each call to the tables takes `latency` lease times. */
  losing: { latency: number } | undefined;
  /** So many of the next writes of a shard's end arrive, and their answers don't. */
  unansweredEnds = 0;

  /** @param time by which factor the run's is quicker than the real one, in which calls wait, and how long a lease is in it. */
  constructor(seed: number, time: { factor: number; leaseMs: number }, watch: TableWatch) {
    this.#seed = seed;
    this.#time = time;
    this.#watch = watch;
  }

  /** The gate of a worker whose process is not a real one. */
  gate(worker: string, gate: Gate): void {
    this.#gates.set(worker, gate);
  }

  /** Lies in wait for one write; another one that waits still is forgotten. */
  lieInWait(ambush: Ambush): void {
    this.#ambush = ambush;
  }

  /** Nothing happens any more. */
  rest(): void {
    this.probability = 0;
    this.losing = undefined;
    this.unansweredEnds = 0;
    this.#ambush = undefined;
  }

  readonly dynamodb: ProxyRule = {
    before: async (call) => {
      const worker = workerOf(call);
      const gate = this.#gates.get(worker);
      const late = gate?.dead.aborted;
      await this.#catch(worker, call);
      const fault = this.#aimed(call) ?? this.#fault(worker, call, dynamodbFault);
      // Before its turn at the item comes, which others may so have before it.
      const passed = await this.#late(fault);
      await gate?.settled();
      // What was under way when its worker died arrives.
      if (late) return { kind: 'reset' };
      await this.#watch.before(call);
      return passed;
    },
    after: async (call, status) => {
      this.#watch.after(workerOf(call), call, status);
      this.#caught.get(call)?.after?.();
      this.#caught.delete(call);
      await this.#gates.get(workerOf(call))?.settled();
    },
  };

  readonly kinesis: ProxyRule = {
    before: async (call) => {
      const worker = workerOf(call);
      const gate = this.#gates.get(worker);
      const passed = await this.#late(this.#fault(worker, call, kinesisFault));
      await gate?.settled();
      return gate?.dead.aborted ? { kind: 'reset' } : passed;
    },
    after: async (call) => {
      await this.#gates.get(workerOf(call))?.settled();
    },
  };

  async #catch(worker: string, call: ProxiedCall): Promise<void> {
    const ambush = this.#ambush;
    if (ambush?.worker !== worker || this.#watch.writes(call) !== ambush.write) return;
    this.#ambush = undefined;
    this.#caught.set(call, ambush);
    await ambush.before?.();
  }

  /** What a step asked for, whatever the probability is. */
  #aimed(call: ProxiedCall): ProxyFault | undefined {
    if (this.unansweredEnds > 0 && this.#watch.endsShard(call)) {
      this.unansweredEnds--;
      return { kind: 'lost-answer' };
    }
    if (!this.losing) return undefined;
    if (this.#watch.writes(call) === 'renewal') return { kind: 'reset' };
    return { kind: 'latency', ms: this.losing.latency * this.#time.leaseMs };
  }

  /** Waits if the fault is that. @returns what is left of it. */
  async #late(fault: ProxyFault | undefined): Promise<ProxyFault | undefined> {
    if (fault?.kind !== 'latency') return fault;
    await systemClock.sleep(fault.ms / this.#time.factor);
    return undefined;
  }

  #fault(
    worker: string,
    call: ProxiedCall,
    choose: (draw: Draw, call: ProxiedCall) => ProxyFault,
  ): ProxyFault | undefined {
    const key = `${worker} ${call.operation}`;
    const draw = this.#draws.get(key) ?? new Draw(this.#seed ^ hash(key));
    this.#draws.set(key, draw);
    if (!draw.chance(this.probability)) return undefined;
    const fault = choose(draw, call);
    if (fault.kind === 'latency') {
      const { leaseMs } = this.#time;
      return draw.chance(LONG_SHARE) ? { kind: 'latency', ms: leaseMs * (0.3 + draw.random()) } : fault;
    }
    const exact = `${key} ${hash(call.body.toString('latin1'))}`;
    const before = this.#faults.get(exact) ?? 0;
    this.#faults.set(exact, before + 1);
    return before < MAX_FAULTS_OF_A_CALL ? fault : undefined;
  }
}

const workerOf = ({ path }: ProxiedCall) => path.replace(/^\/+|\/+$/g, '');

function dynamodbFault(draw: Draw, { operation }: ProxiedCall): ProxyFault {
  if (operation === 'BatchWriteItem' && draw.chance(0.4)) {
    // One at least: with none DynamoDB throttles the whole call, and the emulator refuses the empty one.
    return { kind: 'unprocessed', n: draw.integer(1, 24) };
  }
  return common(draw);
}

function kinesisFault(draw: Draw): ProxyFault {
  return common(draw);
}

function common(draw: Draw): ProxyFault {
  return draw.of<ProxyFault>([
    { kind: 'error', status: 400, type: 'ProvisionedThroughputExceededException' },
    { kind: 'error', status: 500, type: 'InternalServerError' },
    { kind: 'error', status: 503, type: 'ServiceUnavailable' },
    { kind: 'reset' },
    { kind: 'lost-answer' },
    { kind: 'lost-answer' },
    { kind: 'latency', ms: draw.integer(1, MAX_LATENCY_MS) },
    { kind: 'latency', ms: draw.integer(1, MAX_LATENCY_MS) },
  ]);
}

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
