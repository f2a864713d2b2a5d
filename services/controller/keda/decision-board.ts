import type { Clock } from '../../shared/clock.ts';
import type { Decision } from '../scaling/decision.ts';

/** The name of a StreamScaler. */
export interface ScalerRef {
  namespace: string;
  name: string;
}

/** What a reader gets: a decision that still holds, or why there is none. */
export type Reading = { decision: Decision } | { missing: 'unknown' | 'stale' };

interface Entry {
  decision: Decision;
  /** Monotonic ms. */
  at: number;
}

/**
 * The latest decision for each StreamScaler, for those who ask over the network. Only the controller that leads has
 * any. A decision that was not renewed for a while is given to nobody: acting on it would be acting blind.
 */
export class DecisionBoard {
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Map<string, Set<(decision: Decision) => void>>();

  /** @param maxAgeMs for how long a decision holds; default 60,000: four ticks. */
  constructor(clock: Clock, maxAgeMs = 60_000) {
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
  }

  /** Puts up a decision, and tells those who listen. */
  publish(ref: ScalerRef, decision: Decision): void {
    const key = keyOf(ref);
    this.#entries.set(key, { decision, at: this.#clock.monotonic() });
    for (const listener of this.#listeners.get(key) ?? []) listener(decision);
  }

  /** Takes down the decision of a StreamScaler that is gone. */
  remove(ref: ScalerRef): void {
    this.#entries.delete(keyOf(ref));
  }

  /** Takes down all: this controller leads no more. */
  clear(): void {
    this.#entries.clear();
  }

  read(ref: ScalerRef): Reading {
    const entry = this.#entries.get(keyOf(ref));
    if (!entry) return { missing: 'unknown' };
    if (this.#clock.monotonic() - entry.at > this.#maxAgeMs) return { missing: 'stale' };
    return { decision: entry.decision };
  }

  /** Calls `listener` at each decision to come. @returns what ends that. */
  listen(ref: ScalerRef, listener: (decision: Decision) => void): () => void {
    const key = keyOf(ref);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }
}

function keyOf({ namespace, name }: ScalerRef): string {
  return `${namespace}/${name}`;
}
