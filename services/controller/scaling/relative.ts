import type { Memory } from './memory.ts';
import { rangeShare, type ShardObservation, type StreamObservation, type Throughput } from './observation.ts';

/** What arrives in the whole stream, in relative units. */
const WHOLE = 1_000;
/** A shard whose lag never was below this in the window isn't keeping up: then its pod is taken to be busy. */
const BEHIND_SECONDS = 10;
/** A KCL application checkpoints once a minute or so, and its lag goes up and down with that. */
const WINDOW_MS = 120_000;
const MAX_SAMPLES = 64;
/** How much more a pod is believed to do at each look at which nothing is behind. */
const OPTIMISM = 1.004;
/** How long too few replicas are not tried again. */
const FLOOR_MS = 3_600_000;

/** A lease whose counter stands still for so long has an owner that is gone. */
const GONE_MS = 60_000;

interface Seen {
  samples: { at: number; lagSeconds: number }[];
  counter: number;
  countedAt: number;
}

/** In thousandths of what arrives in the whole stream; `undefined` until it is known. */
interface RelativeProgress {
  arrival: Throughput;
  processed: Throughput | undefined;
  busyShare: number | undefined;
}

/** Lag of each shard over the last two minutes: all that is known of a consumer that tells nothing. */
export class LagHistory {
  readonly #seen = new Map<string, Seen>();

  /**
   * @param counter of the lease, which a live owner raises.
   * @param monotonic ms.
   * @returns `undefined` when the owner is gone.
   */
  take(
    { shardId, hashKeyRange }: Pick<ShardObservation, 'shardId' | 'hashKeyRange'>,
    lagSeconds: number,
    counter: number,
    monotonic: number,
  ): RelativeProgress | undefined {
    const before = this.#seen.get(shardId);
    const recent = before?.samples.filter(({ at }) => at > monotonic - WINDOW_MS) ?? [];
    const samples = [...recent, { at: monotonic, lagSeconds }].slice(-MAX_SAMPLES);
    const countedAt = before?.counter === counter ? before.countedAt : monotonic;
    this.#seen.set(shardId, { samples, counter, countedAt });
    if (monotonic - countedAt > GONE_MS) return undefined;
    const arrival = { records: WHOLE * rangeShare(hashKeyRange), bytes: 0 };
    const first = samples[0];
    const seconds = first ? (monotonic - first.at) / 1000 : 0;
    if (!first || seconds < WINDOW_MS / 2_000) return { arrival, processed: undefined, busyShare: undefined };
    const grown = (lagSeconds - first.lagSeconds) / seconds;
    const behind = samples.every((sample) => sample.lagSeconds > BEHIND_SECONDS);
    const records = arrival.records * Math.max(0, 1 - grown);
    return { arrival, processed: { records, bytes: 0 }, busyShare: behind ? 1 : undefined };
  }

  keep(shardIds: ReadonlySet<string>): void {
    for (const shardId of this.#seen.keys()) if (!shardIds.has(shardId)) this.#seen.delete(shardId);
  }
}

/**
 * What relative rates teach beyond the others: nobody tells that a pod has time left, so while nothing is behind a little
 * more is expected of it each time, and the replicas are tried with one step fewer. When that was too few, the number before
 * is held for an hour.
 */
export function learnRelative(
  memory: Memory,
  stream: StreamObservation,
  {
    at,
    maxLagSeconds,
    objective,
    replicas,
  }: { at: number; maxLagSeconds: number; objective: number; replicas: number },
): Memory {
  const wasRelative = memory.relative ?? false;
  const isRelative = stream.relative ?? false;
  if (wasRelative !== isRelative) {
    // What was learned is in the other unit.
    const { arrival, podRate, normalPodRate, trial, ineffective, floor, ...kept } = memory;
    return isRelative ? { ...kept, relative: true } : { ...kept, relative: undefined };
  }
  if (!isRelative) return memory;
  const { floor } = memory;
  let next: Memory = floor && floor.until <= at ? { ...memory, floor: undefined } : memory;
  const last = memory.scaleEvents.at(-1);
  if (last && last.to < last.from && replicas === last.to && maxLagSeconds > objective / 2) {
    next = { ...next, floor: { replicas: last.from, until: at + FLOOR_MS } };
  }
  const podRate = next.podRate;
  if (podRate !== undefined && maxLagSeconds <= objective / 4)
    next = { ...next, podRate: Math.min(podRate * OPTIMISM, 1e6) };
  return next;
}
