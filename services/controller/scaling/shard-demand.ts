import type { Context } from './context.ts';
import type { Memory } from './memory.ts';
import { putsOf, type StreamObservation, type Throughput } from './observation.ts';
import type { OpenShard } from './ranges.ts';

/** A stream that is this full gets what it can take, not what is sent: at least twice as much is assumed. */
export const SATURATED = 0.95;
/** Deviation from the planned use of a shard that is left alone. */
const TOLERANCE = 0.05;
/** The same for what a pod can read of a shard. */
const POD_TOLERANCE = 0.1;
/**
 * What was refused while the shards were full comes in after a change, for about one and a half times as long. A second
 * time in a row that says little about what is really sent: then half more instead of twice as much.
 */
const FLUSH = 1.5;
const LONG_FULL_MS = 150_000;

/** Share of a shard's write limits that arrives. */
export function useOf(arrival: Throughput | undefined, { settings }: Context): number {
  if (!arrival) return 0;
  return Math.max(
    putsOf(arrival) / settings.shardRecordsPerSecond,
    arrival.bytes / settings.shardBytesPerSecond,
  );
}

/** Share of their limits that all open shards together use. */
export function fillOf(open: readonly OpenShard[]): number {
  return open.reduce((sum, shard) => sum + shard.use, 0) / Math.max(1, open.length);
}

/** Shards for the whole load, within the bounds. */
export function neededShards(
  { at, arrivals = [], settings, spec, reshard }: Context,
  memory: Memory,
  stream: StreamObservation,
  open: readonly OpenShard[],
): number {
  const current = open.length;
  const openArrivals = arrivals.filter((_, i) => stream.shards[i]?.open);
  const sum = (of: (arrival: Throughput) => number) =>
    openArrivals.reduce((total, arrival) => total + of(arrival), 0);
  const demand = demandOf(stream, memory);
  const fill = Math.max(
    sum(putsOf) / settings.shardRecordsPerSecond,
    sum(({ bytes }) => bytes) / settings.shardBytesPerSecond,
  );
  const saturated = fillOf(open) >= SATURATED;
  const full = Math.ceil(current * (isFlushing(memory, at) ? 1.5 : 2));
  const tolerated = current * settings.writeUtilization * (1 + TOLERANCE);
  const exact = Math.ceil((fill * demand) / settings.writeUtilization - 1e-9);
  const writes = saturated
    ? Math.max(exact, full)
    : fill * demand <= tolerated
      ? Math.min(exact, current)
      : exact;
  // What is normal: a sink that is slow for a while is no reason to change a stream.
  const { normalPodRate: podRate } = memory;
  const pods = podRate ? sum(({ records }) => records) / spec.objective.utilization / podRate : 1;
  const reads = pods <= current * (1 + POD_TOLERANCE) ? Math.min(Math.ceil(pods), current) : Math.ceil(pods);
  return Math.min(Math.max(writes, reads, 1, reshard.min), reshard.max);
}

/**
 * What is sent over what is taken: what was refused comes back. Twice as much at most, since a record that is refused often counts
 * as often, and one change can't do more anyway. What was refused before the last change says nothing of the shards of now.
 */
function demandOf({ throttled }: StreamObservation, { reshardedAt }: Memory): number {
  if (!throttled || (reshardedAt !== undefined && throttled.from < reshardedAt)) return 1;
  return 1 / Math.max(0.5, 1 - throttled.share);
}

/** Shards are full because what was refused before the last change comes in now. */
function isFlushing({ reshardedAt, saturatedSince }: Memory, at: number): boolean {
  if (reshardedAt === undefined || saturatedSince === undefined) return false;
  const full = reshardedAt - saturatedSince;
  return full > LONG_FULL_MS && at - reshardedAt < full * FLUSH;
}
