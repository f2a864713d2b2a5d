import type { Context, DecisionInput } from './context.ts';
import type { Decision, LagSummary, Rates, Verdict } from './decision.ts';
import { judgeTrial } from './effect.ts';
import { settleLedger } from './ledger.ts';
import { arrivalOf, truePodRate } from './load.ts';
import { MAX_ENTRIES, type Memory } from './memory.ts';
import { type Observation, putsOf, type ShardObservation, type Throughput } from './observation.ts';
import { learnRelative } from './relative.ts';
import { decideReplicas } from './replicas.ts';
import { decideShards } from './shards.ts';
import { DEFAULT_SETTINGS } from './spec.ts';

/** The longest period of an HPA policy: older changes of replicas are of no interest. */
const LONGEST_PERIOD_MS = 1_800_000;
/** What one UpdateShardCount call can make at most. */
const MAX_SHARDS = 10_000;
/** Weights of a new sample: podRate forgets in about a minute at a tick of 15 s, normalPodRate in a quarter of an hour. */
const FAST = 0.4;
const SLOW = 0.03;

/**
 * Replicas and shards for what was observed. Pure: the same input gives the same decision, and the memory that is to
 * be given to the next one.
 *
 * Act on it in this order: persist the memory, then carry out what `acts` allows. The ledger in the memory names the
 * reshard before it is made, so a crash between the two never makes the budget look larger than it is.
 */
export function decide(input: DecisionInput): { decision: Decision; memory: Memory } {
  const { observation, spec, paused, settings = DEFAULT_SETTINGS } = input;
  const { at, target, stream } = observation;
  const shards = stream?.shards ?? [];
  const lag = lagSummary(shards);
  let memory = learn(input.memory, observation);
  if (stream && target && lag.maxSeconds !== undefined) {
    const facts = { at, maxLagSeconds: lag.maxSeconds, objective: spec.objective.maxLagSeconds };
    memory = learnRelative(memory, stream, { ...facts, replicas: target.replicas });
  }
  const arrivals = shards.map((shard) => arrivalOf(shard, memory));
  const problems = [...observation.problems];
  if (!stream && problems.length === 0) problems.push('the stream was not read');
  if (lag.unknownShards > 0 && problems.length === 0)
    problems.push(`the lag of ${lag.unknownShards} of ${shards.length} shards isn't known`);
  const blind = !stream || !target || lag.unknownShards > 0;
  const context: Context = {
    at,
    spec,
    settings,
    reshard: {
      min: spec.shards?.min ?? 1,
      max: spec.shards?.max ?? MAX_SHARDS,
      windowSeconds: spec.behavior?.reshard?.scaleDownWindowSeconds ?? 3_600,
      reservedCalls: spec.behavior?.reshard?.reservedCalls ?? 4,
    },
    shards,
    arrivals: arrivals.every((arrival) => arrival !== undefined) ? (arrivals as Throughput[]) : undefined,
    lags: shards.map((shard) => shard.lagSeconds ?? 0),
    maxLagSeconds: lag.unknownShards === shards.length ? undefined : lag.maxSeconds,
    draining: shards.some((shard) => !shard.open),
    blind,
    problems: blind ? problems : [],
  };
  const processed = sumKnown(shards, (shard) => shard.processed?.records);
  const arrival =
    context.arrivals && sumKnown(shards, (shard, i) => (shard.open ? context.arrivals?.[i]?.records : 0));
  if (target) memory = judge(memory, input, context, target, processed, arrival, lag);

  const acts = {
    replicas: !paused && spec.mode !== 'Recommend' && target !== undefined,
    shards: !paused && spec.mode === 'Full' && spec.shards !== undefined && stream !== undefined,
  };
  const noTarget: Verdict = unread('replicas', problems);
  const replicas = target
    ? decideReplicas(context, memory, target.replicas)
    : { verdict: noTarget, memory, requiredRate: undefined };
  const half = stream
    ? decideShards(context, replicas.memory, stream, acts.shards)
    : { verdict: { ...unread('shards', problems), step: undefined }, memory: replicas.memory };
  const rates: Rates = stream?.relative
    ? { arrival: undefined, processed: undefined, required: undefined, pod: undefined, learned: false }
    : {
        arrival,
        processed,
        required: replicas.requiredRate,
        pod: half.memory.podRate,
        learned: truePodRate(shards) !== undefined,
      };
  const decision: Decision = {
    at,
    replicas: replicas.verdict,
    shards: half.verdict,
    acts,
    lag,
    rates,
    ineffective: half.memory.ineffective && {
      cause: half.memory.ineffective.cause,
      sentence: half.memory.ineffective.sentence,
    },
    blind,
    sentence: `${prefix(input)}${replicas.verdict.sentence} ${half.verdict.sentence}`,
  };
  return { decision, memory: half.memory };
}

/** Takes into the memory what the observation teaches. */
function learn(memory: Memory, { at, target, stream }: Observation): Memory {
  let next = memory;
  if (stream) {
    next = settleLedger(next, stream, at);
    const open = stream.shards.filter((shard) => shard.open);
    const rates = open.map((shard) => arrivalOf(shard, next));
    if (open.length > 0 && open.some((shard) => shard.arrival) && rates.every((rate) => rate !== undefined)) {
      const sum = (of: (rate: Throughput) => number) =>
        rates.reduce((total, rate) => total + (rate ? of(rate) : 0), 0);
      const arrival = { records: sum((r) => r.records), puts: sum(putsOf), bytes: sum((r) => r.bytes) };
      next = { ...next, arrival };
    }
    const sample = truePodRate(stream.shards);
    // Pods that got nothing done yet say nothing of what they can do; later that says a lot.
    if (sample !== undefined && (sample.records > 0 || next.podRate !== undefined)) {
      const { records, atLeast } = sample;
      const taken = (old: number | undefined, weight: number) =>
        // A quiet hour must not make pods forget what they did in a busy one.
        atLeast && old !== undefined && records <= old ? old : mix(old, records, weight);
      next = {
        ...next,
        podRate: taken(next.podRate, FAST),
        normalPodRate: taken(next.normalPodRate, SLOW),
      };
    }
  }
  if (target) {
    const from = next.replicas;
    const events = next.scaleEvents.filter((event) => event.at > at - LONGEST_PERIOD_MS && event.at <= at);
    if (from !== undefined && from !== target.replicas) events.push({ at, from, to: target.replicas });
    next = { ...next, replicas: target.replicas, scaleEvents: events.slice(-MAX_ENTRIES) };
  }
  return next;
}

/** Starts a trial at a step up, and judges the one that runs. */
function judge(
  memory: Memory,
  { memory: before, spec, observation }: DecisionInput,
  { at, settings, maxLagSeconds }: Context,
  target: NonNullable<Observation['target']>,
  processed: number | undefined,
  arrival: number | undefined,
  lag: LagSummary,
): Memory {
  let next = memory;
  const from = before.replicas;
  if (from !== undefined && target.replicas > from && from > 0 && processed !== undefined) {
    const { trial } = memory;
    next = {
      ...memory,
      // A further step before the last one was judged: they are judged together.
      trial: trial
        ? { ...trial, at, to: target.replicas, readyAt: undefined }
        : { at, from, to: target.replicas, processed, lagSeconds: maxLagSeconds ?? 0 },
    };
  }
  return judgeTrial(
    next,
    {
      at: observation.at,
      replicas: target.replicas,
      ready: target.ready,
      processed,
      arrival,
      maxLagSeconds,
      medianLagSeconds: lag.medianSeconds,
      maxLagObjective: spec.objective.maxLagSeconds,
    },
    { trialSeconds: settings.trialSeconds, holdSeconds: settings.ineffectiveHoldSeconds },
  );
}

function lagSummary(shards: readonly ShardObservation[]): LagSummary {
  const known = shards.flatMap(({ shardId, lagSeconds }) =>
    lagSeconds === undefined ? [] : [{ shardId, lagSeconds }],
  );
  known.sort((a, b) => a.lagSeconds - b.lagSeconds);
  const worst = known.at(-1);
  return {
    maxSeconds: worst?.lagSeconds,
    medianSeconds: known[known.length >> 1]?.lagSeconds,
    p90Seconds: known[Math.ceil(known.length * 0.9) - 1]?.lagSeconds,
    worstShard: worst && worst.lagSeconds > 0 ? worst.shardId : undefined,
    unknownShards: shards.length - known.length,
  };
}

/** Sum over the shards that say something; `undefined` when none does. */
function sumKnown(
  shards: readonly ShardObservation[],
  of: (shard: ShardObservation, index: number) => number | undefined,
): number | undefined {
  const values = shards.map(of).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

function unread(what: 'replicas' | 'shards', problems: readonly string[]): Verdict {
  const why = problems.length > 0 ? problems.join('; ') : `the ${what} could not be read`;
  return {
    current: 0,
    desired: 0,
    needed: undefined,
    reason: 'NoData',
    sentence: `Leaves the ${what} as they are because data is missing: ${why}.`,
  };
}

function prefix({ paused, spec }: DecisionInput): string {
  if (paused) return 'Paused, so nothing is changed. Otherwise: ';
  if (spec.mode === 'Recommend') return 'Recommends only. ';
  return '';
}

function mix(old: number | undefined, sample: number, weight: number): number {
  return old === undefined ? sample : old + (sample - old) * weight;
}
