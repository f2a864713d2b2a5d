import { lowerLimit, upperLimit } from './behavior.ts';
import type { Context } from './context.ts';
import type { Reason, Verdict } from './decision.ts';
import { busiestPod, podsFor, requiredRate, shardsPerPod } from './load.ts';
import type { Memory } from './memory.ts';
import { pushMin, pushSeen } from './window.ts';
import { count, duration, number } from './words.ts';

const DEFAULT_DOWN_WINDOW_SECONDS = 300;
const DEFAULT_TOLERANCE = 0.1;

/** What the load asks for at this moment. */
interface Need {
  /** To go up to: with what piles up while new pods start. */
  replicas: number;
  /** To go down to: handing over takes no restart. */
  enough: number;
  /** Required rate over all shards; `undefined` when it can't be known. */
  requiredRate: number | undefined;
  /** Busiest pod's load over what a pod can do, with the replicas of now and without a restart. */
  usage: number;
}

interface Half {
  verdict: Verdict;
  memory: Memory;
  requiredRate: number | undefined;
}

/** Replicas: up at once when the load says so, down by the highest recommendation of the window. */
export function decideReplicas(context: Context, memory: Memory, current: number): Half {
  const { at, spec, blind } = context;
  const { min, max } = spec.replicas;
  const up = spec.behavior?.scaleUp ?? {};
  const down = spec.behavior?.scaleDown ?? {};
  const need = needOf(context, memory, current);
  if (need === undefined) return { ...hold(context, memory, current), requiredRate: undefined };

  const over = current === 0 || need.usage > 1 + (up.tolerance ?? DEFAULT_TOLERANCE);
  const needed = over ? Math.max(need.replicas, Math.min(current, need.enough)) : need.enough;
  const tolerated = !over && needed > current;
  const nearly =
    needed < current &&
    needed > 0 &&
    1 - needed / current <= (down.tolerance ?? DEFAULT_TOLERANCE) &&
    current <= max;
  const floor = Math.min(memory.floor?.replicas ?? 0, max);
  const wanted = Math.max(floor, tolerated || nearly ? current : needed);
  const tickMs = context.settings.tickSeconds * 1000;
  const upMs = (up.stabilizationWindowSeconds ?? 0) * 1000;
  const downMs = (down.stabilizationWindowSeconds ?? DEFAULT_DOWN_WINDOW_SECONDS) * 1000;
  // What is not known may be as high as now; only a need for more is one that was seen.
  const replicaPeaks =
    blind && wanted <= current
      ? memory.replicaPeaks
      : pushSeen(memory.replicaPeaks, { at, value: wanted, current }, { spanMs: downMs, tickMs });
  const replicaLows = pushMin(memory.replicaLows, at, wanted, upMs);
  const peak = Math.max(wanted, replicaPeaks[0]?.value ?? current);
  const low = replicaLows[0]?.value ?? wanted;

  let desired = current;
  let reason: Reason = tolerated || nearly ? 'WithinTolerance' : 'OnTarget';
  if (wanted > current) {
    desired = Math.max(current, low);
    reason = desired > current ? upReason(context, current) : 'Stabilizing';
  } else if (peak < current) {
    desired = peak;
    reason = needed === 0 ? 'Idle' : 'LoadFell';
  } else if (wanted < current) reason = 'Stabilizing';

  const mayRise = stepLimit(memory, current);
  if (desired > mayRise) [desired, reason] = [Math.max(current, mayRise), 'Ineffective'];
  const limits = {
    lower: lowerLimit(down, memory.scaleEvents, current, at),
    upper: upperLimit(up, memory.scaleEvents, current, at),
  };
  const limited = Math.min(Math.max(desired, limits.lower), limits.upper);
  if (limited !== desired) [desired, reason] = [limited, 'LimitedByBehavior'];
  const bounded = Math.min(Math.max(desired, min), max);
  if (bounded !== desired || (needed > max && bounded === max))
    [desired, reason] = [bounded, 'LimitedByBounds'];
  if (blind && wanted < current) [desired, reason] = [Math.max(current, min), 'NoData'];

  const verdict: Verdict = { current, desired, needed, reason, sentence: '' };
  verdict.sentence = explain(verdict, context, memory, need, downMs / 1000);
  return { verdict, memory: { ...memory, replicaPeaks, replicaLows }, requiredRate: need.requiredRate };
}

/**
 * Pods by the formula: for what may be read now, and, while a lineage drains, for the open shards that come after it,
 * whichever is more; so parents are never left with fewer pods than they need.
 */
function needOf(context: Context, memory: Memory, current: number): Need | undefined {
  const { shards, arrivals, lags, spec, settings, draining, maxLagSeconds } = context;
  const { podRate } = memory;
  if (shards.length === 0) return undefined;
  const idle = arrivals?.every(({ records }) => records === 0) && maxLagSeconds === 0;
  if (idle) return { replicas: 0, enough: 0, requiredRate: 0, usage: 0 };
  // Somebody must look at what is there; how many pods it takes shows once the first one works.
  if (current === 0 && (maxLagSeconds ?? 0) > 0 && (!arrivals || !podRate))
    return { replicas: 1, enough: 1, requiredRate: undefined, usage: Number.POSITIVE_INFINITY };
  if (!arrivals || podRate === undefined) return undefined;
  const loads = (which: 'startable' | 'open', restartSeconds: number) =>
    shards.flatMap((shard, i) =>
      shard[which]
        ? [requiredRate(arrivals[i]?.records ?? 0, lags[i] ?? 0, spec.objective, restartSeconds)]
        : [],
    );
  const sets = (restartSeconds: number) =>
    [loads('startable', restartSeconds), ...(draining ? [loads('open', restartSeconds)] : [])].filter(
      (set) => set.length > 0,
    );
  const pods = sets(settings.restartSeconds).map((set) => podsFor(set, podRate));
  const now = sets(0);
  const least = (maxLagSeconds ?? 0) > 0 ? 1 : 0;
  const usage = now.map((set) => busiestPod(set, shardsPerPod(set.length, current)) / podRate);
  return {
    replicas: Math.max(least, ...pods),
    enough: Math.max(least, ...now.map((set) => podsFor(set, podRate))),
    requiredRate: Math.max(...now.map((set) => set.reduce((sum, load) => sum + load, 0))),
    usage: Math.max(...usage),
  };
}

/** Without a rate nothing can be worked out: stay, within the bounds, and never go down. */
function hold(context: Context, memory: Memory, current: number): { verdict: Verdict; memory: Memory } {
  const { min, max } = context.spec.replicas;
  const desired = Math.max(context.blind ? current : Math.min(current, max), min);
  const reason: Reason =
    context.problems.length > 0 ? 'NoData' : desired > current ? 'LimitedByBounds' : 'RateUnknown';
  const why =
    reason === 'NoData'
      ? `because data is missing: ${context.problems.join('; ')}`
      : 'because it is not known yet what a pod can do or what arrives: pods must have worked for a while first';
  const sentence = `Stays at ${count(desired, 'replica')} ${why}.`;
  return { verdict: { current, desired, needed: undefined, reason, sentence }, memory };
}

/**
 * How far one step may go up. Not at all while the last one is known not to have helped. Twice, and only after the last
 * one was judged, while a pod does less than half of what is normal: then more pods may not help, and that is found
 * out before much is spent.
 */
function stepLimit(memory: Memory, current: number): number {
  if (memory.ineffective) return current;
  const { podRate = 0, normalPodRate = 0, trial } = memory;
  if (podRate >= normalPodRate / 2) return Number.POSITIVE_INFINITY;
  return trial ? current : Math.max(1, current * 2);
}

function upReason({ maxLagSeconds = 0, spec }: Context, current: number): Reason {
  if (current === 0) return 'WokeUp';
  return maxLagSeconds > spec.objective.maxLagSeconds ? 'LagTooHigh' : 'LoadGrew';
}

function explain(
  { current, desired, needed = 0, reason }: Verdict,
  { maxLagSeconds = 0, spec, problems, settings }: Context,
  memory: Memory,
  need: Need,
  windowSeconds: number,
): string {
  const { objective, replicas } = spec;
  const change =
    desired > current
      ? `Scales out from ${current} to ${count(desired, 'replica')}`
      : desired < current
        ? `Scales in from ${current} to ${count(desired, 'replica')}`
        : `Stays at ${count(current, 'replica')}`;
  const rates =
    need.requiredRate === undefined || memory.podRate === undefined
      ? ''
      : memory.relative
        ? `${number(need.requiredRate / 10)} % of what arrives are required and a pod does ${number(memory.podRate / 10)} %, by the movement of the lag`
        : `${number(need.requiredRate)} records/s are required and a pod does ${number(memory.podRate)}`;
  const behind = `the worst shard is ${duration(maxLagSeconds)} behind (objective ${duration(objective.maxLagSeconds)})`;
  switch (reason) {
    case 'LagTooHigh':
      return `${change}: ${behind}; to catch up in ${duration(objective.catchUpSeconds)} ${rates}.`;
    case 'LoadGrew':
      return `${change} before the lag grows: ${rates}.`;
    case 'WokeUp':
      return `${change}: records wait and nobody reads them; ${behind}.`;
    case 'Idle':
      return `${change}: nothing arrived for ${duration(windowSeconds)} and nothing is left to read.`;
    case 'LoadFell':
      return `${change}: for ${duration(windowSeconds)} no more than that was needed; ${rates}.`;
    case 'Stabilizing':
      return `${change}: ${needed} would do now, but the window of recommendations isn't over.`;
    case 'WithinTolerance':
      return `${change}: ${needed} would be exact, the difference is within the tolerance.`;
    case 'LimitedByBehavior':
      return `${change}: ${needed} are needed, spec.behavior allows no faster change.`;
    case 'LimitedByBounds':
      return needed > replicas.max
        ? `${change}: ${needed} are needed, spec.replicas.max is ${replicas.max}; ${behind}.`
        : `${change}: spec.replicas allows ${replicas.min} to ${replicas.max}.`;
    case 'NoData':
      return `${change}: ${needed} would do by what is known, but it doesn't scale in while data is missing: ${problems.join('; ')}.`;
    case 'Ineffective':
      return memory.ineffective
        ? `${change}: ${needed} would be needed, but ${lowerFirst(memory.ineffective.sentence)}`
        : `${change}: pods do less than half of what is normal, so it goes in steps and looks whether more of them help (${duration(settings.trialSeconds)}).`;
    default:
      return `${change}: ${behind}${rates && `; ${rates}`}.`;
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
