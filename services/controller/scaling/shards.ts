import type { Context } from './context.ts';
import type { Reason, Verdict } from './decision.ts';
import { callsLeft, enterStep, pendingUpdate, usedCalls } from './ledger.ts';
import type { Memory } from './memory.ts';
import { rangeShare, type StreamObservation } from './observation.ts';
import { coldestPair, hotShard, type OpenShard, splitOf, usageAfterUniform } from './ranges.ts';
import type { ReshardStep } from './reshard.ts';
import { fillOf, neededShards, SATURATED, useOf } from './shard-demand.ts';
import { nextDown, nextUp } from './steps.ts';
import { pushSeen } from './window.ts';
import { count, duration, number } from './words.ts';

/** A shard over this share of its write limit is one that refuses records now and then. */
const HOT = 0.9;
/** More shards are made when two looks in a row ask for them: the first may have seen half of a jump. */
const CONFIRM_MS = 10_000;
/** After a change it takes this long until the new shards show what they get. */
const SETTLE_MS = 60_000;
/** Each step up of the last hour makes the next one larger by a quarter, so that a ramp takes few of the day's calls. */
const GROWTH_MS = 3_600_000;

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
            records: arrivals?.[i]?.records ?? 0,
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
  if (stream.relative)
    return stay(
      'RateUnknown',
      'the consumers tell no rates, so it is not known what producers write',
      undefined,
    );
  if (!arrivals || current === 0) return stay('RateUnknown', 'it is not known what arrives', undefined);

  const needed = neededShards(context, memory, stream, open);
  const again = pendingUpdate(memory, current);
  const grow = growWish(context, memory, stream, open, needed, again?.to);
  const saturated = fillOf(open) >= SATURATED;
  // New shards show nothing at first; that doesn't end what was before.
  const changing = stream.status !== 'ACTIVE' || at - (memory.reshardedAt ?? 0) < SETTLE_MS;
  const asked = Math.max(needed, grow?.desired ?? 0);
  // What is not known may be as high as now; only a need for more is one that was seen.
  const shardPeaks =
    blind && asked <= current
      ? memory.shardPeaks
      : pushSeen(
          memory.shardPeaks,
          { at, value: asked, current },
          { spanMs: reshard.windowSeconds * 1000, tickMs: settings.tickSeconds * 1000 },
        );
  const remembered: Memory = {
    ...memory,
    shardPeaks,
    growthSince: grow && (memory.growthSince ?? at),
    saturatedSince:
      saturated || changing ? (memory.saturatedSince ?? (saturated ? at : undefined)) : undefined,
  };
  const wish = grow ?? shrinkWish(context, remembered, open, shardPeaks[0]?.value ?? current);
  if (stream.status !== 'ACTIVE') {
    return stay('StreamUpdating', `the stream is ${stream.status}, one change at a time`, needed, remembered);
  }
  if (!wish) return stay(...noWish(context, open, needed), needed, remembered);
  const grows = wish.desired > current;
  const early = grows ? tooEarly(wish, remembered, at) : undefined;
  if (early) return stay('Stabilizing', `${wish.why}, but ${early}`, needed, remembered);
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
  const repeats = wish.step.kind === 'update-shard-count' && wish.step.target === again?.to;
  // Fewer are wished for by a call only when there is one besides the reserve.
  const free = wish.step.kind !== 'update-shard-count' || repeats || !grows;
  if (!free && callsLeft(memory, settings.reshardCalls, 0, at) === 0) {
    const fallback = budgetlessSplit(open);
    if (fallback) return carryOut(fallback);
    const spent = `${usedCalls(memory, at)} of ${settings.reshardCalls} UpdateShardCount calls of 24 h are used`;
    return stay('BudgetSpent', `${wish.why}, but ${spent}`, needed, remembered);
  }
  return carryOut(wish);
}

/** Why more shards are not made yet. */
function tooEarly({ reason }: Wish, memory: Memory, at: number): string | undefined {
  const { growthSince = at, reshardedAt } = memory;
  if (at - growthSince < CONFIRM_MS) return 'one more look must confirm it';
  if (reshardedAt === undefined || reason === 'HotShard') return undefined;
  return at - reshardedAt < SETTLE_MS ? 'the last change is too fresh to tell' : undefined;
}

function growWish(
  context: Context,
  memory: Memory,
  stream: StreamObservation,
  open: readonly OpenShard[],
  needed: number,
  decided: number | undefined,
): Wish | undefined {
  const { at, settings, reshard } = context;
  const { normalPodRate: podRate, ledger } = memory;
  const current = open.length;
  if (needed > current) {
    const mean = fillOf(open);
    const recent = ledger.filter((call) => call.at > at - GROWTH_MS && call.to > call.from).length;
    const ahead = mean >= SATURATED ? needed : Math.ceil(needed * (1 + recent / 4));
    const repeated = decided !== undefined && decided > current && decided <= reshard.max;
    const desired = repeated ? decided : nextUp(current, ahead, reshard.max);
    const saturated = mean > settings.writeUtilization;
    const refused =
      !saturated && needed > neededShards(context, memory, { ...stream, throttled: undefined }, open);
    return {
      step: { kind: 'update-shard-count', target: desired },
      desired,
      reason: saturated || refused || !podRate ? 'WriteSaturated' : 'ShardTooBusyForPod',
      why: refused
        ? `producers use only ${percent(mean)} of what ${count(current, 'shard')} take, but ${percent(stream.throttled?.share ?? 0)} of what they sent was refused`
        : saturated
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
  { at, spec, settings, reshard, maxLagSeconds }: Context,
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
  const even = desired !== undefined && usageAfterUniform(open, desired) <= settings.writeUtilization;
  if (even && callsLeft(memory, settings.reshardCalls, reshard.reservedCalls, at) > 0) {
    return { step: { kind: 'update-shard-count', target: desired }, desired, reason: 'LoadFell', why };
  }
  // No call, or an even deal would put too much into one shard, or the step is smaller than a quarter, as of 5 to 4.
  if (desired === undefined && current - least < current / 5) return undefined;
  const pair = coldestPair(open);
  if (!pair || pair.use > settings.writeUtilization / 2) return undefined;
  // One busy pod must be able to read what is merged.
  const records = pair.left.records + pair.right.records;
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
  const mean = fillOf(open);
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
