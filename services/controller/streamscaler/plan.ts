import type { StreamScalerStatus } from '../../../cdk8s/crd/stream-scaler.ts';
import { decide } from '../scaling/decide.ts';
import type { Decision } from '../scaling/decision.ts';
import { usedCalls } from '../scaling/ledger.ts';
import { type Memory, parseMemory } from '../scaling/memory.ts';
import type { Observation } from '../scaling/observation.ts';
import type { ReshardStep } from '../scaling/reshard.ts';
import type { ScalingSettings, ScalingSpec } from '../scaling/spec.ts';

/** One thing to do to the world. */
type Action = { kind: 'scale'; from: number; to: number } | ReshardStep;

/** A condition without its times, which are the writer's job. */
interface PlannedCondition {
  type: 'Ready' | 'ScalingActive' | 'ScalingLimited' | 'ScalingEffective' | 'AbleToReshard';
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
}

/** An Event that people should see; told once, when it becomes true. */
interface PlannedEvent {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

/** The fields of the status that the plan fills. */
type PlannedStatus = Pick<
  StreamScalerStatus,
  'decidedAt' | 'lag' | 'rates' | 'replicas' | 'shards' | 'reshardBudget' | 'lastDecision' | 'memory'
>;

/** What one reconciliation comes to. */
export interface Plan {
  decision: Decision;
  /** To be persisted before `actions` are carried out: the ledger in it names them. */
  status: PlannedStatus;
  conditions: PlannedCondition[];
  events: PlannedEvent[];
  /** In this order. Empty when mode, pause or missing data say so. */
  actions: Action[];
}

/**
 * From what was observed to what is to be done and told. Pure.
 *
 * @param status the object's status as it was last written; it holds the memory and the ledger.
 */
export function planFor(input: {
  observation: Observation;
  spec: ScalingSpec;
  paused: boolean;
  status: StreamScalerStatus | undefined;
  settings?: Readonly<ScalingSettings>;
}): Plan {
  const { observation, spec, paused, status, settings } = input;
  const before = memoryOf(status, observation.at);
  const { decision, memory } = decide({
    observation,
    spec,
    paused,
    memory: before,
    ...(settings ? { settings } : {}),
  });
  return {
    decision,
    status: {
      decidedAt: iso(decision.at),
      ...(observation.stream ? { lag: lagStatus(decision, observation) } : {}),
      rates: ratesStatus(decision, memory, observation.at, status?.rates?.learnedAt),
      ...(observation.target
        ? { replicas: { current: decision.replicas.current, desired: decision.replicas.desired } }
        : {}),
      ...(observation.stream
        ? { shards: { open: decision.shards.current, desired: decision.shards.desired } }
        : {}),
      lastDecision: lastDecision(decision, status?.lastDecision),
      ...memoryStatus(memory, observation.at),
    },
    conditions: conditionsOf(decision, spec, paused),
    events: eventsOf(decision, before, status),
    actions: actionsOf(decision),
  };
}

/**
 * The memory that a status holds: its own field, and the ledger, which people see as `reshardBudget`.
 *
 * @param now ms since the epoch.
 */
export function memoryOf(status: StreamScalerStatus | undefined, now: number): Memory {
  if (!status?.memory && !status?.reshardBudget) return parseMemory(undefined, now);
  const ledger = (status.reshardBudget?.calls ?? []).map(({ time, ...call }) => ({
    ...call,
    at: Date.parse(time),
  }));
  return parseMemory({ ...status.memory, ledger }, now);
}

/** The fields of a status that hold a memory; the inverse of `memoryOf`. */
export function memoryStatus(
  memory: Memory,
  now: number,
): Pick<StreamScalerStatus, 'reshardBudget' | 'memory'> {
  const { ledger, ...rest } = memory;
  const calls = ledger.map(({ at, ...call }) => ({ ...call, time: iso(at) }));
  return { reshardBudget: { used: usedCalls(memory, now), calls }, memory: rest };
}

function actionsOf({ replicas, shards, acts }: Decision): Action[] {
  const actions: Action[] = [];
  if (acts.replicas && replicas.desired !== replicas.current)
    actions.push({ kind: 'scale', from: replicas.current, to: replicas.desired });
  if (acts.shards && shards.step) actions.push(shards.step);
  return actions;
}

function lagStatus({ at, lag }: Decision, { stream }: Observation): NonNullable<PlannedStatus['lag']> {
  const { maxSeconds, medianSeconds, p90Seconds, worstShard, unknownShards } = lag;
  const shards = stream?.shards ?? [];
  return {
    observedAt: iso(at),
    ...(maxSeconds === undefined ? {} : { maxSeconds: round(maxSeconds) }),
    ...(medianSeconds === undefined ? {} : { p50Seconds: round(medianSeconds) }),
    ...(p90Seconds === undefined ? {} : { p90Seconds: round(p90Seconds) }),
    ...(worstShard === undefined ? {} : { worstShard }),
    shards: shards.length,
    unknownShards,
    undrainedParents: shards.filter((shard) => !shard.open).length,
  };
}

function ratesStatus(
  { rates }: Decision,
  { arrival }: Memory,
  at: number,
  learnedBefore: string | undefined,
): NonNullable<PlannedStatus['rates']> {
  const fields = {
    arrivalRecordsPerSecond: rates.arrival,
    arrivalBytesPerSecond: rates.arrival === undefined ? undefined : arrival?.bytes,
    processedRecordsPerSecond: rates.processed,
    podRecordsPerSecond: rates.pod,
    requiredRecordsPerSecond: rates.required,
  };
  const known = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined || !Number.isFinite(value) ? [] : [[name, round(value)]],
  );
  const learnedAt = rates.learned ? iso(at) : learnedBefore;
  return { ...Object.fromEntries(known), ...(learnedAt ? { learnedAt } : {}) };
}

/** In one word, what is done: the larger of the two halves. */
function actionWord({ replicas, shards }: Decision): string {
  if (shards.step)
    return { 'update-shard-count': 'Reshard', 'split-shard': 'SplitShard', 'merge-shards': 'MergeShards' }[
      shards.step.kind
    ];
  if (replicas.desired > replicas.current) return 'ScaleOut';
  return replicas.desired < replicas.current ? 'ScaleIn' : 'None';
}

/** Numbers in a sentence change at each tick; the decision is another one only when what is done or why changes. */
function lastDecision(
  decision: Decision,
  before: StreamScalerStatus['lastDecision'],
): NonNullable<StreamScalerStatus['lastDecision']> {
  const action = actionWord(decision);
  const same = before?.action === action && wordsOf(before.reason) === wordsOf(decision.sentence);
  return same ? before : { time: iso(decision.at), action, reason: decision.sentence };
}

function wordsOf(sentence: string): string {
  return sentence.replace(/\d[\d.,]*/g, '#');
}

function conditionsOf(decision: Decision, spec: ScalingSpec, paused: boolean): PlannedCondition[] {
  const { replicas, shards, ineffective, blind } = decision;
  const limits = ['LimitedByBounds', 'LimitedByBehavior'];
  const limited = limits.includes(replicas.reason)
    ? replicas
    : limits.includes(shards.reason)
      ? shards
      : undefined;
  const unable = ['NotProvisioned', 'BudgetSpent', 'StreamUpdating', 'LineageDraining', 'NoData'].includes(
    shards.reason,
  );
  const data: PlannedCondition = blind
    ? { type: 'ScalingActive', status: 'False', reason: 'NoData', message: replicas.sentence }
    : replicas.needed === undefined
      ? { type: 'ScalingActive', status: 'Unknown', reason: replicas.reason, message: replicas.sentence }
      : paused
        ? { type: 'ScalingActive', status: 'False', reason: 'Paused', message: decision.sentence }
        : spec.mode === 'Recommend'
          ? { type: 'ScalingActive', status: 'False', reason: 'RecommendOnly', message: decision.sentence }
          : { type: 'ScalingActive', status: 'True', reason: replicas.reason, message: replicas.sentence };
  return [
    {
      type: 'Ready',
      status: blind ? 'False' : 'True',
      reason: blind ? 'NoData' : replicas.reason,
      message: decision.sentence,
    },
    data,
    {
      type: 'ScalingLimited',
      status: limited ? 'True' : 'False',
      reason: limited?.reason ?? 'WithinLimits',
      message: limited?.sentence ?? 'The bounds and the behavior allow what is needed.',
    },
    {
      type: 'ScalingEffective',
      status: ineffective ? 'False' : 'True',
      reason: ineffective?.cause ?? 'Effective',
      message: ineffective?.sentence ?? 'Nothing says that more pods would not help.',
    },
    {
      type: 'AbleToReshard',
      status: unable ? 'False' : 'True',
      reason: unable ? shards.reason : 'Able',
      message: shards.sentence,
    },
  ];
}

function eventsOf(
  decision: Decision,
  before: Memory,
  status: StreamScalerStatus | undefined,
): PlannedEvent[] {
  const { replicas, shards, acts, ineffective, blind } = decision;
  const events: PlannedEvent[] = [];
  if (acts.replicas && replicas.desired !== replicas.current)
    events.push({
      type: 'Normal',
      reason: replicas.desired > replicas.current ? 'ScaledOut' : 'ScaledIn',
      message: replicas.sentence,
    });
  if (acts.shards && shards.step)
    events.push({ type: 'Normal', reason: 'Resharded', message: shards.sentence });
  if (ineffective && !before.ineffective)
    events.push({ type: 'Warning', reason: 'IneffectiveScaling', message: ineffective.sentence });
  const wasReady = status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'False';
  if (blind && wasReady) events.push({ type: 'Warning', reason: 'NoData', message: replicas.sentence });
  return events;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
