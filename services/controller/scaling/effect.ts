import type { Ineffective } from './decision.ts';
import type { Memory } from './memory.ts';
import { number } from './words.ts';

/** What is looked at to judge whether more pods helped. */
export interface Effect {
  /** ms since the epoch. */
  at: number;
  replicas: number;
  ready: number;
  /** Records a second, all shards together; `undefined` when not known. */
  processed: number | undefined;
  /** Records a second that come in; `undefined` when not known. */
  arrival: number | undefined;
  maxLagSeconds: number | undefined;
  medianLagSeconds: number | undefined;
  maxLagObjective: number;
}

/** Share of the proportional gain that new pods must bring to count as a help. */
const EXPECTED_GAIN = 0.25;

/**
 * Judges the last step up once its pods had time to work. It didn't help when the consumers are still behind, still
 * losing ground, and throughput grew by less than a quarter of what the pods did. That stops further steps until
 * throughput rises, the lag is within the objective, or the hold is over and one more step may be tried.
 *
 * @param trialSeconds from when the new pods are ready.
 */
export function judgeTrial(
  memory: Memory,
  effect: Effect,
  { trialSeconds, holdSeconds }: { trialSeconds: number; holdSeconds: number },
): Memory {
  const lifted = lift(memory, effect);
  const { trial } = lifted;
  if (!trial) return lifted;
  const { trial: _, ...without } = lifted;
  if (effect.replicas < trial.to) return without; // scaled in by somebody: nothing to judge
  // Pods that don't get ready, or tell nothing, would hold back all further steps.
  if (effect.at - trial.at > holdSeconds * 1000) return without;
  if (effect.ready < trial.to && trial.readyAt === undefined) return lifted;
  if (trial.readyAt === undefined) return { ...lifted, trial: { ...trial, readyAt: effect.at } };
  if (effect.at - trial.readyAt < trialSeconds * 1000) return lifted;
  const { processed, maxLagSeconds: lag } = effect;
  if (processed === undefined || lag === undefined) return lifted;
  const gain = EXPECTED_GAIN * (trial.to / Math.max(1, trial.from) - 1);
  const helped =
    lag <= Math.max(effect.maxLagObjective, trial.lagSeconds / 2) ||
    lag < trial.lagSeconds ||
    processed > trial.processed * (1 + gain) + 1e-9;
  if (helped) return without;
  return {
    ...without,
    ineffective: {
      since: effect.at,
      until: effect.at + holdSeconds * 1000,
      processed: Math.max(processed, trial.processed),
      ...explain(trial, effect, processed),
    },
  };
}

/** Ends the hold when the reason for it is gone. */
function lift(memory: Memory, effect: Effect): Memory {
  const { ineffective, ...without } = memory;
  if (!ineffective) return memory;
  const { processed, maxLagSeconds: lag } = effect;
  const over =
    effect.at >= ineffective.until ||
    (lag !== undefined && lag <= effect.maxLagObjective) ||
    (processed !== undefined && processed > ineffective.processed * 1.25 + 1e-9);
  return over ? without : memory;
}

function explain(trial: NonNullable<Memory['trial']>, effect: Effect, processed: number): Ineffective {
  const { maxLagSeconds = 0, medianLagSeconds = 0, arrival = 0 } = effect;
  const fact = `${trial.to} pods process ${number(processed)} records/s, ${trial.from} did ${number(trial.processed)}`;
  if (medianLagSeconds < maxLagSeconds / 4) {
    return {
      cause: 'HotShard',
      sentence: `More pods don't help: ${fact}. One shard holds the backlog; look for a source that sends far more than the others.`,
    };
  }
  if (processed < arrival / 2 || processed <= trial.processed) {
    return {
      cause: 'DeadSink',
      sentence: `More pods don't help: ${fact}. The pods are busy, so what they write to is slow, throttles or is down.`,
    };
  }
  return { cause: 'Unknown', sentence: `More pods don't help: ${fact}.` };
}
