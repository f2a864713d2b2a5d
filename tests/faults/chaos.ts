import type { ProxiedCall, ProxyFault, ProxyRule } from '../../services/testkit/fault-proxy.ts';
import { Draw } from '../../services/testkit/seeded-random.ts';
import type { Gate } from './gate.ts';
import type { TableWatch } from './table-watch.ts';

/** The same call fails at most so often: a consumer may give an item up that fails 5 times while others are stored. */
const MAX_FAULTS_OF_A_CALL = 3;
const MAX_LATENCY_MS = 300;

/** Waits for the next write of its kind that a worker makes. */
interface Ambush {
  worker: string;
  write: 'checkpoint' | 'state';
  /** Called when the write comes, before it finds out whether its worker is frozen or dead. */
  before?: () => void;
  /** Called when the table has it, before its worker hears of it. */
  after?: () => void;
}

/**
 * What befalls the calls of a run's workers, each of which is known by the path of its endpoints. Which call gets which
 * fault follows from the seed, the worker and how many calls it made; when the calls are made does not.
 */
export class Chaos {
  readonly #seed: number;
  readonly #factor: number;
  readonly #watch: TableWatch;
  readonly #draws = new Map<string, Draw>();
  readonly #gates = new Map<string, Gate>();
  readonly #faults = new Map<string, number>();
  #ambush: Ambush | undefined;
  readonly #caught = new Map<ProxiedCall, Ambush>();
  /** Probability with which a call fails. */
  probability = 0;

  /** @param factor by which the run's time is quicker than real time, in which the proxy waits. */
  constructor(seed: number, factor: number, watch: TableWatch) {
    this.#seed = seed;
    this.#factor = factor;
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

  readonly dynamodb: ProxyRule = {
    before: async (call) => {
      const worker = workerOf(call);
      this.#catch(worker, call);
      const gate = this.#gates.get(worker);
      await gate?.settled();
      if (gate?.dead.aborted) return { kind: 'reset' };
      const fault = this.#fault(worker, call, dynamodbFault);
      await this.#watch.before(call);
      return fault;
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
      await gate?.settled();
      if (gate?.dead.aborted) return { kind: 'reset' };
      return this.#fault(worker, call, kinesisFault);
    },
    after: async (call) => {
      await this.#gates.get(workerOf(call))?.settled();
    },
  };

  #catch(worker: string, call: ProxiedCall): void {
    const ambush = this.#ambush;
    if (ambush?.worker !== worker || this.#watch.writes(call) !== ambush.write) return;
    this.#ambush = undefined;
    this.#caught.set(call, ambush);
    ambush.before?.();
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
    if (fault.kind === 'latency') return { kind: 'latency', ms: fault.ms / this.#factor };
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
