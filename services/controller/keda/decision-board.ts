import type { StreamScaler, StreamScalerStatus } from '../../../cdk8s/crd/stream-scaler.ts';
import type { Clock } from '../../shared/clock.ts';
import { keyOf, type Store } from '../runtime/cache/store.ts';

/** The name of a StreamScaler. */
export interface ScalerRef {
  namespace: string;
  name: string;
}

/** A decision as the StreamScaler's status tells it. */
export interface ToldDecision {
  /** When it was taken, ISO 8601. */
  time: string;
  /** What is set, and what should be. Not there while it can't be known: then nobody is to act. */
  replicas: { current: number; desired: number } | undefined;
  status: StreamScalerStatus;
}

/** What a reader gets: a decision that still holds, or why there is none. */
export type Reading = { decision: ToldDecision } | { missing: 'unknown' | 'undecided' | 'stale' };

/**
 * The latest decision for each StreamScaler, for those who ask over the network: out of the status in the cache, so that each
 * replica of the controller says the same, whether it leads or stands by. A decision that was not renewed for a while is
 * given to nobody: acting on it would be acting blind.
 */
export class DecisionBoard {
  readonly #store: Store<StreamScaler>;
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  /** When each decision was first seen here, in monotonic ms: by our own clock, since the leader's may be wrong. */
  readonly #seen = new Map<string, { decidedAt: string; at: number }>();
  readonly #listeners = new Map<string, Set<(decision: ToldDecision) => void>>();

  /** @param maxAgeMs for how long a decision holds; default 60,000: four ticks. */
  constructor(store: Store<StreamScaler>, clock: Clock, maxAgeMs = 60_000) {
    this.#store = store;
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
    store.subscribe({
      onAdd: (scaler) => this.#note(scaler),
      onUpdate: (_, scaler) => this.#note(scaler),
      onDelete: (scaler) => this.#seen.delete(keyOf(scaler)),
    });
  }

  read({ namespace, name }: ScalerRef): Reading {
    const key = `${namespace}/${name}`;
    const scaler = this.#store.get(key);
    if (!scaler) return { missing: 'unknown' };
    const decision = told(scaler);
    const seen = this.#seen.get(key);
    if (!decision || !seen) return { missing: 'undecided' };
    return this.#clock.monotonic() - seen.at > this.#maxAgeMs ? { missing: 'stale' } : { decision };
  }

  /** Calls `listener` at each decision to come. @returns what ends that. */
  listen({ namespace, name }: ScalerRef, listener: (decision: ToldDecision) => void): () => void {
    const key = `${namespace}/${name}`;
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  #note(scaler: StreamScaler): void {
    const key = keyOf(scaler);
    const decision = told(scaler);
    const before = this.#seen.get(key);
    if (!decision || before?.decidedAt === decision.time) return;
    // The first one seen may be old: of that only its own time tells.
    const age = before ? 0 : Math.max(0, this.#clock.now() - Date.parse(decision.time));
    this.#seen.set(key, { decidedAt: decision.time, at: this.#clock.monotonic() - age });
    if (age <= this.#maxAgeMs) for (const tell of this.#listeners.get(key) ?? []) tell(decision);
  }
}

function told({ status }: StreamScaler): ToldDecision | undefined {
  if (!status?.decidedAt) return undefined;
  const { replicas, conditions = [] } = status;
  const active = conditions.find(({ type }) => type === 'ScalingActive');
  const known = active !== undefined && active.status !== 'Unknown' && active.reason !== 'NoData';
  // Replicas are left as they are while nothing is known; but none is then no decision for none.
  const holds = replicas && (known || replicas.desired > 0);
  return { time: status.decidedAt, replicas: holds ? replicas : undefined, status };
}
