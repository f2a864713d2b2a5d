import type { Logger } from '../../shared/log.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { AnyDetector } from '../pipeline/scoring.ts';
import { SourceState, type StateLayout } from './source-state.ts';
import type { StateStore } from './state-store.ts';

/** After an eviction this share of the budget is used, so that not each slice evicts a little. */
const LOW_WATER = 0.9;

/** Bytes of states in memory, over all shards of the process. */
export class ByteBudget {
  readonly max: number;
  readonly caches = new Set<StateCache>();
  #used = 0;
  readonly #gauge: { set(bytes: number): void };

  /** @param gauge told each change. */
  constructor(max: number, gauge: { set(bytes: number): void }) {
    this.max = max;
    this.#gauge = gauge;
  }

  get used(): number {
    return this.#used;
  }

  add(bytes: number): void {
    this.#used += bytes;
    this.#gauge.set(this.#used);
  }
}

export interface StateCacheDeps {
  store: StateStore;
  layout: StateLayout;
  /** False for a detector whose states are not to be stored any more. */
  active: (detector: AnyDetector) => boolean;
  budget: ByteBudget;
  log: Logger;
  metrics: ConsumerMetrics;
}

/**
 * The states that one shard's processor works with. They are loaded when their series is first seen, since the lease
 * was taken, and written by `flush` or when they must make room; always after the results that they include.
 */
export class StateCache {
  readonly #deps: StateCacheDeps;
  /** The least recently met first. */
  readonly #states = new Map<string, SourceState>();
  #bytes = 0;
  #slice = 0;

  constructor(deps: StateCacheDeps) {
    this.#deps = deps;
    deps.budget.caches.add(this);
  }

  /** Bytes of its states. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Begins a slice: loads the states of those series that are not here yet, and holds on to all of them. */
  async begin(series: ReadonlySet<string>, signal: AbortSignal, progress: () => void): Promise<void> {
    const { store, layout, log, metrics } = this.#deps;
    this.#slice++;
    const missing: string[] = [];
    for (const key of series) {
      const state = this.#states.get(key);
      if (state) this.#use(state);
      else missing.push(key);
    }
    if (missing.length === 0) return;
    const rows = await store.load(missing, signal, progress);
    for (const key of missing) {
      const state = new SourceState(key, layout, rows.get(key), (part, error) => {
        metrics.stateResets.inc({ part });
        log.error({ err: error, series: key, part }, 'a stored state can not be used: it begins anew');
      });
      this.#use(state);
      this.#bytes += state.bytes;
      this.#deps.budget.add(state.bytes);
    }
  }

  /** The state of a series that `begin` was told of. */
  get(series: string): SourceState {
    const state = this.#states.get(series);
    if (!state) throw new Error(`the state of ${series} was not loaded`);
    return state;
  }

  /** The state is the most recently met. */
  #use(state: SourceState): void {
    state.slice = this.#slice;
    this.#states.delete(state.series);
    this.#states.set(state.series, state);
  }

  /**
   * Lets the least recently met states go when the budget is used up; what is dirty is written before. Shards that hold more
   * than this one come first, with what they have stored: a shard that fell silent must not keep the memory of a busy one.
   */
  async makeRoom(signal: AbortSignal, progress: () => void): Promise<void> {
    const { budget, metrics } = this.#deps;
    if (budget.used <= budget.max) return;
    for (const cache of Array.from(budget.caches).sort((a, b) => b.bytes - a.bytes)) {
      if (cache.bytes <= this.bytes) break;
      cache.#shed(this.bytes);
    }
    if (budget.used <= budget.max) return;
    const victims: SourceState[] = [];
    let freed = 0;
    for (const state of this.#states.values()) {
      if (budget.used - freed <= budget.max * LOW_WATER || state.slice === this.#slice) break;
      victims.push(state);
      freed += state.bytes;
    }
    await this.#save(
      victims.filter(({ dirty }) => dirty),
      signal,
      progress,
    );
    for (const state of victims) this.#drop(state);
    metrics.stateEvictions.inc(victims.length);
  }

  /** Lets go of what is stored and not in the slice in hand, down to `bytes` or until the budget has room. */
  #shed(bytes: number): void {
    const { budget, metrics } = this.#deps;
    let dropped = 0;
    for (const state of this.#states.values()) {
      if (this.#bytes <= bytes || budget.used <= budget.max * LOW_WATER) break;
      if (state.dirty || state.slice === this.#slice) continue;
      this.#drop(state);
      dropped++;
    }
    metrics.stateEvictions.inc(dropped);
  }

  /** Writes all that changed. */
  async flush(signal: AbortSignal, progress: () => void): Promise<void> {
    const dirty = Array.from(this.#states.values()).filter((state) => state.dirty);
    await this.#save(dirty, signal, progress);
  }

  /** Lets go of everything. Writes nothing. */
  close(): void {
    this.#states.clear();
    this.#deps.budget.caches.delete(this);
    this.#deps.budget.add(-this.#bytes);
    this.#bytes = 0;
  }

  async #save(states: readonly SourceState[], signal: AbortSignal, progress: () => void): Promise<void> {
    const { store, active, metrics, log } = this.#deps;
    await Promise.all(
      states.map(async (state) => {
        const kept = await store.save(state, state.attributes(active), signal, progress);
        metrics.stateWrites.inc({ outcome: kept ? 'stored' : 'fenced' });
        if (kept) {
          state.dirty = false;
          return;
        }
        // Another worker has the shard, or had it for a while: what it stored counts, and its results are stored.
        log.warn({ series: state.series }, 'the stored state is ahead of ours: ours is dropped');
        this.#drop(state);
      }),
    );
  }

  #drop(state: SourceState): void {
    if (!this.#states.delete(state.series)) return;
    this.#bytes -= state.bytes;
    this.#deps.budget.add(-state.bytes);
  }
}
