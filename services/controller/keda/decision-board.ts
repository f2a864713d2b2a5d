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

/** A decision holds for so many ticks, and for so long at least, in ms. */
const HOLDS_TICKS = 4;
const HOLDS_MS = 60_000;

interface Seen {
  decidedAt: string;
  /** Monotonic ms. */
  cameAt: number;
  /** How old it was then, in ms, as far as can be told. */
  late: number;
}

/**
 * The latest decision for each StreamScaler, for those who ask over the network: out of the status in the cache, so that each
 * replica of the controller says the same, whether it leads or stands by. A decision that was not renewed for a while is
 * given to nobody: acting on it would be acting blind.
 */
export class DecisionBoard {
  readonly #store: Store<StreamScaler>;
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #seen = new Map<string, Seen>();
  readonly #listeners = new Map<string, Set<(decision: ToldDecision) => void>>();

  /** @param tickMs time between two decisions on a StreamScaler. */
  constructor(store: Store<StreamScaler>, clock: Clock, tickMs: number) {
    this.#store = store;
    this.#clock = clock;
    this.#maxAgeMs = Math.max(HOLDS_MS, HOLDS_TICKS * tickMs);
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
    return this.#holds(seen) ? { decision } : { missing: 'stale' };
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
    const cameAt = this.#clock.monotonic();
    const seen = { decidedAt: decision.time, cameAt, late: this.#lateness(decision.time, cameAt, before) };
    this.#seen.set(key, seen);
    if (this.#holds(seen)) for (const tell of this.#listeners.get(key) ?? []) tell(decision);
  }

  /**
   * A leader's clock may be wrong, but it goes as fast as ours. Decisions that come at its pace come when they are taken; one that
   * comes later than that, and those right behind it, were held up by a watch that was cut. Of the first one, and of one by a
   * clock that is behind the last one's, only its own time tells.
   */
  #lateness(decidedAt: string, cameAt: number, before: Seen | undefined): number {
    const taken = Date.parse(decidedAt);
    const sinceLast = before ? taken - Date.parse(before.decidedAt) : 0;
    if (!before || !(sinceLast > 0)) return Math.max(0, this.#clock.now() - taken);
    const off = cameAt - before.cameAt - sinceLast;
    return Math.abs(off) <= sinceLast / 2 ? 0 : Math.max(0, before.late + off);
  }

  #holds({ cameAt, late }: Seen): boolean {
    return this.#clock.monotonic() - cameAt + late <= this.#maxAgeMs;
  }
}

function told({ status }: StreamScaler): ToldDecision | undefined {
  if (!status?.decidedAt) return undefined;
  const { replicas, conditions = [] } = status;
  const active = conditions.find(({ type }) => type === 'ScalingActive');
  const known = active !== undefined && active.status !== 'Unknown' && active.reason !== 'NoData';
  // Replicas are left as they are while nothing is known; but none is then no decision for none.
  const holds = replicas && (known || replicas.desired > 0);
  if (!holds) return { time: status.decidedAt, replicas: undefined, status };
  // A pause holds for those who act in our place, too.
  const desired = active?.reason === 'Paused' ? replicas.current : replicas.desired;
  return { time: status.decidedAt, replicas: { ...replicas, desired }, status };
}
