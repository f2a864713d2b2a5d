import type { ScalingSpec } from '../spec.ts';
import type { World } from './simulate.ts';
import type { Trace } from './trace.ts';

/** What somebody pays who knew the whole trace in advance. */
export interface Optimum {
  dollars: number;
  podHours: number;
  shardHours: number;
}

export interface OptimumOptions {
  /** Share of a pod's rate that may be used in any minute. */
  podUse: number;
  /** Share of a shard's write limit that may be used in any minute. */
  shardUse: number;
}

const MINUTE = 60;
/** A reshard takes a minute and lets a lineage drain: shards may change once in this time. */
const SLOT_MINUTES = 5;
/** UpdateShardCount calls in 24 hours. */
const CALLS = 10;

/**
 * The cheapest plan of shards and replicas for a trace that is known in advance, by dynamic programming. Its rules are
 * those of any policy: 10 UpdateShardCount calls in 24 h, each at most double and at least half, shards dealt out to
 * pods by number. Its freedom is no policy's: pods and shards are there the moment they are needed, and replicas change
 * each minute for nothing. No key is hot for it. `undefined` when the bounds don't allow any plan.
 */
export function optimum(
  trace: Trace,
  spec: ScalingSpec,
  world: World,
  { podUse, shardUse }: OptimumOptions,
): Optimum | undefined {
  const minutes = minutesOf(trace, spec);
  const { min, max } = worthwhile(spec.shards ?? { min: 1, max: 1 }, minutes, world, { podUse, shardUse });
  const slots = Math.ceil(minutes.length / SLOT_MINUTES);
  const podsIn = (slot: number, shards: number) => {
    let pods = 0;
    for (const minute of minutes.slice(slot * SLOT_MINUTES, (slot + 1) * SLOT_MINUTES)) {
      if (minute.sent > shards * world.stream.shardRate * shardUse) return undefined;
      const needed = podsForMinute(minute.demand, shards, world.group.podRate * minute.speed * podUse, spec);
      if (needed === undefined) return undefined;
      pods += needed;
    }
    return pods;
  };
  interface Plan {
    dollars: number;
    podMinutes: number;
    shardMinutes: number;
  }
  /** The cheapest plan that ends with so many shards after so many calls: `best[calls][shards]`. */
  let best: (Plan | undefined)[][] = Array.from({ length: CALLS + 1 }, () => []);
  for (let slot = 0; slot < slots; slot++) {
    const length = Math.min(SLOT_MINUTES, minutes.length - slot * SLOT_MINUTES);
    const next: (Plan | undefined)[][] = Array.from({ length: CALLS + 1 }, () => []);
    for (let shards = min; shards <= max; shards++) {
      const pods = podsIn(slot, shards);
      if (pods === undefined) continue;
      const price = (pods * world.podHour + shards * length * world.shardHour) / 60;
      for (let calls = 0; calls <= CALLS; calls++) {
        const from = slot === 0 ? NOTHING : cheapest(best, shards, calls);
        const row = next[calls];
        if (!from || !row || (slot === 0 && calls > 0)) continue;
        row[shards] = {
          dollars: from.dollars + price,
          podMinutes: from.podMinutes + pods,
          shardMinutes: from.shardMinutes + shards * length,
        };
      }
    }
    best = next;
  }
  const plans = best.flat().filter((plan) => plan !== undefined);
  if (plans.length === 0) return undefined;
  const plan = plans.reduce((a, b) => (b.dollars < a.dollars ? b : a));
  return { dollars: plan.dollars, podHours: plan.podMinutes / 60, shardHours: plan.shardMinutes / 60 };
}

/** More shards than the fullest minute needs for writing, or for a pod each, are never worth their price. */
function worthwhile(
  { min, max }: { min: number; max: number },
  minutes: readonly Minute[],
  { stream, group }: World,
  { podUse, shardUse }: OptimumOptions,
): { min: number; max: number } {
  const most = Math.max(
    ...minutes.map(({ sent, demand, speed }) =>
      Math.max(sent / stream.shardRate / shardUse, demand / group.podRate / speed / podUse),
    ),
  );
  return { min, max: Math.max(min, Math.min(max, 2 * Math.ceil(most))) };
}

interface Minute {
  sent: number;
  demand: number;
  speed: number;
}

const NOTHING = { dollars: 0, podMinutes: 0, shardMinutes: 0 };

/** The cheapest plan from which `shards` can be had with `calls` calls in all. */
function cheapest<P extends { dollars: number }>(
  best: readonly (readonly (P | undefined)[])[],
  shards: number,
  calls: number,
): P | undefined {
  let found = best[calls]?.[shards];
  const before = best[calls - 1] ?? [];
  for (let from = Math.ceil(shards / 2); from <= shards * 2; from++) {
    const plan = before[from];
    if (plan && (!found || plan.dollars < found.dollars)) found = plan;
  }
  return found;
}

/** The fewest pods whose busiest one, of shards dealt out by number, is up to its share; `undefined` when none are. */
function podsForMinute(
  demand: number,
  shards: number,
  podRate: number,
  { replicas }: ScalingSpec,
): number | undefined {
  for (let pods = Math.max(1, replicas.min); pods <= Math.min(replicas.max, shards); pods++) {
    if ((demand * Math.ceil(shards / pods)) / shards <= podRate) return pods;
  }
  return demand === 0 ? replicas.min : undefined;
}

/** Per minute, in records a second: what is sent, and what must be processed; a backlog only where nobody could help it. */
function minutesOf(
  trace: Trace,
  { objective }: ScalingSpec,
): { sent: number; demand: number; speed: number }[] {
  let backlog = 0;
  return Array.from({ length: Math.ceil(trace.seconds / MINUTE) }, (_, minute) => {
    let sent = 0;
    const from = minute * MINUTE;
    const to = Math.min(trace.seconds, from + MINUTE);
    for (let t = from; t < to; t++) sent += (trace.offered(t) + (trace.hotKey?.(t) ?? 0)) / (to - from);
    const speed = trace.podSpeed?.(from) ?? 1;
    const sink = trace.sinkLimit?.(from) ?? Number.POSITIVE_INFINITY;
    const catchUp = backlog / objective.catchUpSeconds;
    const demand = Math.min(sent + catchUp, sink);
    backlog = Math.max(0, backlog + (sent - demand) * MINUTE);
    return { sent, demand, speed };
  });
}
