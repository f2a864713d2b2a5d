/** A call, as a fault plan sees it. */
export interface Call {
  operation: string;
  stream: string | undefined;
  /** The shards that the call reads or writes; those of PutRecords are worked out only when asked for. */
  shardIds(): readonly string[];
}

/** What is done to a call. */
type FaultAction =
  /** Refused with the service's throttling error. With a shard given, PutRecords refuses the records of that shard only. */
  | { kind: 'throttle' }
  /** InternalFailureException, status 500. With a shard given, PutRecords fails the records of that shard only. */
  | { kind: 'internal-failure' }
  /** A status 500 of a machine in between: no JSON, no error name. */
  | { kind: 'http-500'; status?: number }
  /** Nothing is done, and the answer, with status 200, is this text: a service that lies, or somebody in between. */
  | { kind: 'answer'; text: string }
  /** Carried out at once, answered `ms` later: to a client that gives up before, a write that took place unseen. */
  | { kind: 'latency'; ms: number }
  /** Carried out, then the connection breaks before the answer. */
  | { kind: 'lost-answer' }
  /** The connection breaks, and nothing is done. */
  | { kind: 'reset' }
  /**
   * SubscribeToShard only, after `afterEvents` events (default 0): the connection breaks (`cut`), nothing comes any
   * more and it stays open (`stall`), an error of the service comes in the stream (`error`, of type `type`, default
   * InternalFailureException), or a frame whose checksum is wrong (`garble`).
   */
  | { kind: 'subscription'; does: 'cut' | 'stall' | 'error' | 'garble'; afterEvents?: number; type?: string }
  /** PutRecords only: each record whose index `fails` names gets `code` (default `throttle`), the others are stored. */
  | { kind: 'partial'; fails: (index: number) => boolean; code?: 'throttle' | 'internal-failure' };

/** A fault for calls to come; a field that is left out matches all. */
export type Fault = FaultAction & {
  operation?: string;
  stream?: string;
  shardId?: string;
  /** Calls that it befalls. Default 1. */
  times?: number;
};

/** Decides what is done to each call. */
export class FaultPlan {
  #planned: { fault: Fault; left: number }[] = [];
  #rule: (call: Call) => Fault | undefined = () => undefined;

  /** Plans a fault. Several that match one call befall one call each, in the order they were planned. */
  next(fault: Fault): void {
    this.#planned.push({ fault, left: fault.times ?? 1 });
  }

  /** Asked for each call that no planned fault befalls. Replaces the rule before. */
  rule(rule: (call: Call) => Fault | undefined): void {
    this.#rule = rule;
  }

  /** Forgets everything planned and the rule. */
  clear(): void {
    this.#planned = [];
    this.#rule = () => undefined;
  }

  /** Faults that were planned and have not come to pass. */
  get pending(): number {
    return this.#planned.reduce((sum, { left }) => sum + left, 0);
  }

  /** The fault that befalls a call. */
  take(call: Call): Fault | undefined {
    const match = this.#planned.find(({ fault }) => matches(fault, call));
    if (!match) return this.#rule(call);
    match.left--;
    if (match.left <= 0) this.#planned = this.#planned.filter((planned) => planned !== match);
    return match.fault;
  }
}

function matches(fault: Fault, call: Call): boolean {
  if (fault.operation !== undefined && fault.operation !== call.operation) return false;
  if (fault.kind === 'partial' && call.operation !== 'PutRecords') return false;
  if (fault.kind === 'subscription' && call.operation !== 'SubscribeToShard') return false;
  if (fault.stream !== undefined && fault.stream !== call.stream) return false;
  return fault.shardId === undefined || call.shardIds().includes(fault.shardId);
}
