import type { Context } from './context.ts';
import type { Reason, Verdict } from './decision.ts';
import { callOf, callsLeft, enterStep, pendingCall, sameCall, usedCalls } from './ledger.ts';
import type { Memory } from './memory.ts';
import { rangeShare, type StreamObservation, type Throughput } from './observation.ts';
import { coldestPair, hotShard, type OpenShard, splitOf, usageAfterUniform } from './ranges.ts';
import type { ReshardStep } from './reshard.ts';
import { nextDown, nextUp } from './steps.ts';
import { pushMax } from './window.ts';
import { count, duration, number } from './words.ts';

/** A shard over this share of its write limit is one that refuses records now and then. */
const HOT = 0.9;
/** A stream that is this full gets what it can take, not what is sent: at least twice as much is assumed. */
const SATURATED = 0.95;
/** Deviation from the planned use of a shard that is left alone. */
const TOLERANCE = 0.05;
interface Half {
  verdict: Verdict & { step: ReshardStep | undefined };
  memory: Memory;
}

interface Wish {
  step: ReshardStep;
  desired: number;
  reason: Reason;
  why: string;
}

/**
 * Shards: for what producers write, and for what one pod can read of one shard. New shards don't speed up an existing
 * backlog, so lag plays no part.
 *
 * @param acts whether the step is going to be carried out: only then it is entered into the ledger.
 */
export function decideShards(
  context: Context,
  memory: Memory,
  stream: StreamObservation,
  acts: boolean,
): Half {
  const { at, settings, reshard, arrivals, shards, blind } = context;
  const open: OpenShard[] = shards.flatMap((shard, i) =>
    shard.open
      ? [
          {
            id: shard.shardId,
            range: shard.hashKeyRange,
            use: useOf(arrivals?.[i], context),
            share: rangeShare(shard.hashKeyRange),
          },
        ]
      : [],
  );
  const current = open.length;
  const stay = (reason: Reason, why: string, needed: number | undefined, next = memory): Half => ({
    verdict: {
      current,
      desired: current,
      needed,
      reason,
      sentence: `Stays at ${count(current, 'shard')}: ${why}.`,
      step: undefined,
    },
    memory: next,
  });
  if (!stream.provisioned)
    return stay('NotProvisioned', 'the stream is on-demand, AWS sets its shards', undefined);
  if (!arrivals || current === 0) return stay('RateUnknown', 'it is not known what arrives', undefined);

  const needed = neededShards(context, memory, stream, open);
  const before = memory.shardPeaks.length > 0 ? memory.shardPeaks : [{ at, value: current }];
  const shardPeaks = pushMax(
    before,
    at,
    blind ? Math.max(needed, current) : needed,
    reshard.windowSeconds * 1000,
  );
  const remembered: Memory = { ...memory, shardPeaks };
  const wish =
    growWish(context, remembered, open, needed) ??
    shrinkWish(context, remembered, open, Math.max(needed, shardPeaks[0]?.value ?? needed));
  if (stream.status !== 'ACTIVE') {
    return stay('StreamUpdating', `the stream is ${stream.status}, one change at a time`, needed, remembered);
  }
  if (!wish) return stay(...noWish(context, open, needed), needed, remembered);
  const grows = wish.desired > current;
  if (context.draining && !(grows && wish.reason === 'WriteSaturated')) {
    return stay(
      'LineageDraining',
      `${wish.why}, but shards of the last change aren't read to their end yet`,
      needed,
      remembered,
    );
  }
  if (blind && !grows) return stay('NoData', `${wish.why}, but data is missing`, needed, remembered);
  const carryOut = (chosen: Wish): Half => {
    const { step, desired } = chosen;
    const entered = acts ? enterStep(remembered, step, current, desired, at) : remembered;
    return { verdict: verdictOf(chosen, current, needed), memory: entered };
  };
  // Decided before, never seen to happen: the same call again, which is in the ledger already.
  const again = pendingCall(memory);
  const repeats = again !== undefined && sameCall(again, callOf(wish.step, current, wish.desired, at));
  const reserve = grows ? 0 : reshard.reservedCalls;
  const free = wish.step.kind !== 'update-shard-count' || repeats;
  if (!free && callsLeft(memory, settings.reshardCalls, reserve, at) === 0) {
    const fallback = grows ? budgetlessSplit(open) : undefined;
    if (fallback) return carryOut(fallback);
    const spent = `${usedCalls(memory, at)} of ${settings.reshardCalls} UpdateShardCount calls of 24 h are used`;
    const kept = grows ? '' : ` and ${reshard.reservedCalls} are kept for scaling up`;
    return stay('BudgetSpent', `${wish.why}, but ${spent}${kept}`, needed, remembered);
  }
  return carryOut(wish);
}

function useOf(arrival: Throughput | undefined, { settings }: Context): number {
  if (!arrival) return 0;
  return Math.max(
    arrival.records / settings.shardRecordsPerSecond,
    arrival.bytes / settings.shardBytesPerSecond,
  );
}

/** Shards for the whole load, within the bounds. */
function neededShards(
  { arrivals = [], settings, spec, reshard }: Context,
  { podRate }: Memory,
  stream: StreamObservation,
  open: readonly OpenShard[],
): number {
  const current = open.length;
  const openArrivals = arrivals.filter((_, i) => stream.shards[i]?.open);
  const sum = (of: keyof Throughput) => openArrivals.reduce((total, arrival) => total + arrival[of], 0);
  // What was refused comes back: demand is what was taken and what was not.
  const demand = 1 / Math.max(0.1, 1 - (stream.throttledShare ?? 0));
  const fill = Math.max(
    sum('records') / settings.shardRecordsPerSecond,
    sum('bytes') / settings.shardBytesPerSecond,
  );
  const saturated = fill / current >= SATURATED;
  const tolerated = current * settings.writeUtilization * (1 + TOLERANCE);
  const exact = Math.ceil((fill * demand) / settings.writeUtilization - 1e-9);
  const writes = saturated
    ? Math.max(exact, current * 2)
    : fill * demand <= tolerated
      ? Math.min(exact, current)
      : exact;
  const reads = podRate ? Math.ceil(sum('records') / spec.objective.utilization / podRate - 1e-9) : 1;
  return Math.min(Math.max(writes, reads, 1, reshard.min), reshard.max);
}

function growWish(
  { settings, reshard }: Context,
  { podRate }: Memory,
  open: readonly OpenShard[],
  needed: number,
): Wish | undefined {
  const current = open.length;
  if (needed > current) {
    const desired = nextUp(current, needed, reshard.max);
    const mean = open.reduce((sum, shard) => sum + shard.use, 0) / current;
    const saturated = mean > settings.writeUtilization;
    return {
      step: { kind: 'update-shard-count', target: desired },
      desired,
      reason: saturated || !podRate ? 'WriteSaturated' : 'ShardTooBusyForPod',
      why: saturated
        ? `producers use ${percent(mean)} of what ${count(current, 'shard')} take`
        : `${count(needed, 'shard')} are needed for pods that do ${number(podRate ?? 0)} records/s to share the load`,
    };
  }
  const hot = hotShard(open, HOT);
  if (!hot || current >= reshard.max || hot.share < 1 / (8 * current)) return undefined;
  return {
    step: splitOf(hot),
    desired: current + 1,
    reason: 'HotShard',
    why: `${hot.id} takes ${percent(hot.use)} of its limit, the others have room`,
  };
}

function shrinkWish(
  { spec, settings, reshard, maxLagSeconds }: Context,
  memory: Memory,
  open: readonly OpenShard[],
  peak: number,
): Wish | undefined {
  const current = open.length;
  const least = Math.max(peak, reshard.min);
  if (least >= current || maxLagSeconds === undefined || maxLagSeconds > spec.objective.maxLagSeconds)
    return undefined;
  const why = `for ${duration(reshard.windowSeconds)} ${count(least, 'shard')} would have been enough`;
  const desired = nextDown(current, least);
  if (desired !== undefined && usageAfterUniform(open, desired) <= settings.writeUtilization) {
    return { step: { kind: 'update-shard-count', target: desired }, desired, reason: 'LoadFell', why };
  }
  const pair = coldestPair(open);
  if (!pair || pair.use > settings.writeUtilization / 2) return undefined;
  // One busy pod must be able to read what is merged.
  const records = pair.use * settings.shardRecordsPerSecond;
  if (memory.podRate !== undefined && records / spec.objective.utilization > memory.podRate) return undefined;
  return {
    step: { kind: 'merge-shards', shardId: pair.left.id, adjacentShardId: pair.right.id },
    desired: current - 1,
    reason: 'ColdShards',
    why: `${pair.left.id} and ${pair.right.id} together take ${percent(pair.use)} of one shard's limit`,
  };
}

/** No UpdateShardCount call is left, but SplitShard isn't counted by that budget. */
function budgetlessSplit(open: readonly OpenShard[]): Wish | undefined {
  const hot = open.reduce((a, b) => (b.use > a.use ? b : a));
  if (hot.share * 2 ** 100 < 1) return undefined;
  return {
    step: splitOf(hot),
    desired: open.length + 1,
    reason: 'WriteSaturated',
    why: `the UpdateShardCount calls of 24 h are used up, so the busiest shard, ${hot.id}, is split by itself`,
  };
}

function noWish({ reshard }: Context, open: readonly OpenShard[], needed: number): [Reason, string] {
  const hot = hotShard(open, HOT);
  if (hot && open.length < reshard.max) {
    return [
      'HotShard',
      `${hot.id} is full, but so narrow that one partition key must be the cause; splitting can't help`,
    ];
  }
  if (hot && needed >= reshard.max)
    return [
      'LimitedByBounds',
      `producers use ${percent(hot.use)} of ${hot.id}, and spec.shards.max is ${reshard.max}`,
    ];
  const mean = open.reduce((sum, shard) => sum + shard.use, 0) / open.length;
  if (needed < open.length)
    return [
      'Stabilizing',
      `${needed} would do now; shards go down only when fewer were enough for long, and in worthwhile steps`,
    ];
  return ['OnTarget', `producers use ${percent(mean)} of them`];
}

function verdictOf(wish: Wish, current: number, needed: number): Half['verdict'] {
  const { step, desired, reason, why } = wish;
  const verb = {
    'update-shard-count': `Goes from ${current} to ${count(desired, 'shard')}`,
    'split-shard': `Splits one of ${count(current, 'shard')}`,
    'merge-shards': `Merges two of ${count(current, 'shard')}`,
  }[step.kind];
  return { current, desired, needed, reason, sentence: `${verb}: ${why}.`, step };
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
