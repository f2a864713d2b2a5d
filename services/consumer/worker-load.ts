import { type EventLoopUtilization, performance } from 'node:perf_hooks';

/** What bounds calls to a table, as a resource that fills up: see `AdaptiveLimit.usedMs`. */
interface Limit {
  readonly usedMs: number;
}

/** How much of the worker's resources was used up to a moment. Two of these give a utilization. */
export interface LoadTotals {
  /** Monotonic ms. */
  at: number;
  eventLoop: EventLoopUtilization;
  /** Of each limit: ms, weighted by the share of it that was used. */
  limits: readonly number[];
}

/**
 * How full the resources are that all shards of a worker share: its event loop, and the calls that may be in flight to each table.
 * That a shard is being worked on says little: a slice of one record takes as long as one of 25, nearly all of it waiting for
 * the table, and shards wait side by side.
 */
export class WorkerLoad {
  readonly #clock: { monotonic(): number };
  readonly #limits: readonly Limit[];
  readonly #eventLoop: () => EventLoopUtilization;

  /** @param eventLoop of the worker; left out: this thread's, all of which is its. */
  constructor(
    clock: { monotonic(): number },
    limits: readonly Limit[],
    eventLoop: () => EventLoopUtilization = () => performance.eventLoopUtilization(),
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#eventLoop = eventLoop;
  }

  read(): LoadTotals {
    return {
      at: this.#clock.monotonic(),
      eventLoop: this.#eventLoop(),
      limits: this.#limits.map(({ usedMs }) => usedMs),
    };
  }
}

/** Utilization of the fullest of the resources between two readings, 0 to 1. */
export function utilization(from: LoadTotals, to: LoadTotals): number {
  const elapsedMs = Math.max(1, to.at - from.at);
  const active = to.eventLoop.active - from.eventLoop.active;
  const all = active + to.eventLoop.idle - from.eventLoop.idle;
  const limits = to.limits.map((usedMs, i) => (usedMs - (from.limits[i] ?? 0)) / elapsedMs);
  return Math.min(1, Math.max(all > 0 ? active / all : 0, ...limits));
}
