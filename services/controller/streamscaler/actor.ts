import type { StreamScaler, StreamScalerStatus } from '../../../cdk8s/crd/stream-scaler.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { type Condition, setCondition } from '../runtime/conditions.ts';
import type { EventRecorder } from '../runtime/event-recorder.ts';
import type { StatusWriter } from '../runtime/status.ts';
import { noteBudgetSpent, noteOutcome } from '../scaling/ledger.ts';
import type { ShardObservation } from '../scaling/observation.ts';
import type { ReshardStep } from '../scaling/reshard.ts';
import type { AwsPool } from './aws-pool.ts';
import type { ScalerMetrics } from './metrics.ts';
import { memoryOf, memoryStatus, type Plan } from './plan.ts';
import { type ReshardOutcome, reshard } from './reshard-client.ts';
import type { Target, TargetProblem, Targets } from './target.ts';

export interface ActorDeps {
  targets: Targets;
  status: StatusWriter<StreamScaler>;
  recorder: EventRecorder;
  aws: AwsPool;
  metrics: ScalerMetrics;
  clock: Clock;
  log: Logger;
}

/** One look at a StreamScaler, and what was decided from it. */
export interface Turn {
  /** With the status that names the acts already. */
  scaler: StreamScaler;
  plan: Plan;
  target: Target;
  shards: readonly ShardObservation[];
}

type ConditionUpdate = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

export const ABLE_TO_SCALE: ConditionUpdate = {
  type: 'AbleToScale',
  status: 'True',
  reason: 'Able',
  message: 'The target can be scaled, and nobody else scales it.',
};

/** Reasons of the plan's Events that are told when the act was carried out. */
export const TOLD_BY_ACT: ReadonlySet<string> = new Set(['ScaledOut', 'ScaledIn', 'Resharded']);

/** Carries out what was decided and written down, and writes down what came of it. */
export class Actor {
  readonly #deps: ActorDeps;

  constructor(deps: ActorDeps) {
    this.#deps = deps;
  }

  /**
   * @throws the first error of an act that may go well at another try (a conflict, an API server that is not well), after
   *   the others were tried and what they came to was written.
   */
  async act(turn: Turn, actions: Plan['actions'], signal: AbortSignal): Promise<void> {
    const { status, metrics } = this.#deps;
    let outcome: StreamScalerStatus = turn.scaler.status ?? {};
    let failure: { error: unknown } | undefined;
    for (const action of actions) {
      if (signal.aborted) break;
      try {
        outcome =
          action.kind === 'scale'
            ? await this.#scale(turn, outcome, action.to, signal)
            : await this.#reshard(turn, outcome, action, signal);
      } catch (error) {
        metrics.actions.inc({ action: action.kind, outcome: 'failed' });
        failure ??= { error };
      }
    }
    // Also after an abort or a failure: what AWS answered belongs in the ledger.
    await status.write(turn.scaler, outcome);
    metrics.show(turn.scaler, outcome);
    if (failure) throw failure.error;
  }

  async #scale(
    turn: Turn,
    before: StreamScalerStatus,
    replicas: number,
    signal: AbortSignal,
  ): Promise<StreamScalerStatus> {
    const { targets, metrics } = this.#deps;
    if ('problem' in turn.target) return before;
    const problem = await targets.scale(turn.scaler, turn.target.scale, replicas, turn.shards, signal);
    metrics.actions.inc({ action: 'scale', outcome: problem ? 'refused' : 'accepted' });
    this.#report(turn, ['ScaledOut', 'ScaledIn'], problem);
    return this.#with(
      turn,
      before,
      problem ? { ...ABLE_TO_SCALE, status: 'False', ...problem } : ABLE_TO_SCALE,
    );
  }

  async #reshard(
    turn: Turn,
    before: StreamScalerStatus,
    step: ReshardStep,
    signal: AbortSignal,
  ): Promise<StreamScalerStatus> {
    const { aws, metrics, clock } = this.#deps;
    const { stream } = turn.scaler.spec;
    const outcome = await reshard(aws.for(stream).kinesisOnce, stream.arn ?? stream.name ?? '', step, signal);
    metrics.actions.inc({ action: step.kind, outcome: outcome.kind });
    const problem = problemOfReshard(outcome);
    // An outcome that is not known is told by the next look, not by an Event.
    if (outcome.kind !== 'open') this.#report(turn, ['Resharded'], problem);
    const now = clock.now();
    const memory = memoryOf(before, now);
    const settled = {
      accepted: () => noteOutcome(memory, 'Accepted'),
      refused: () => noteOutcome(memory, 'Refused'),
      'budget-spent': () => noteBudgetSpent(memory, now),
      // It stays pending in the ledger, counted, until a look at the stream shows what came of it.
      open: () => memory,
    }[outcome.kind]();
    return this.#with(
      turn,
      { ...before, ...memoryStatus(settled, now) },
      problem
        ? { type: 'AbleToReshard', status: 'False', ...problem }
        : {
            type: 'AbleToReshard',
            status: 'True',
            reason: 'Able',
            message: 'Kinesis accepted the last call.',
          },
    );
  }

  /** Tells the plan's Event of an act that was carried out, or that it was refused. */
  #report({ scaler, plan }: Turn, reasons: string[], problem: TargetProblem | undefined): void {
    const { recorder, log } = this.#deps;
    const { namespace, name } = scaler.metadata;
    if (problem) {
      recorder.record(scaler, 'Warning', problem.reason, problem.message);
      log.warn({ namespace, scaler: name, reason: problem.reason }, problem.message);
      return;
    }
    for (const { type, reason, message } of plan.events) {
      if (!reasons.includes(reason)) continue;
      recorder.record(scaler, type, reason, message);
      log.info({ namespace, scaler: name, reason }, message);
    }
  }

  #with({ scaler }: Turn, status: StreamScalerStatus, condition: ConditionUpdate): StreamScalerStatus {
    const next = { ...condition, observedGeneration: scaler.metadata.generation };
    return { ...status, conditions: setCondition(status.conditions ?? [], next, this.#deps.clock.now()) };
  }
}

function problemOfReshard(outcome: ReshardOutcome): TargetProblem | undefined {
  switch (outcome.kind) {
    case 'accepted':
      return undefined;
    case 'refused':
      return { reason: outcome.reason, message: `${outcome.problem}.` };
    case 'budget-spent':
      return { reason: 'BudgetSpent', message: `${outcome.problem}.` };
    case 'open':
      return {
        reason: 'OutcomeUnknown',
        message: `${outcome.problem}; whether the call took effect is seen at the next look.`,
      };
  }
}
