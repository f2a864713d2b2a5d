import {
  PAUSED_ANNOTATION,
  type StreamScaler,
  type StreamScalerStatus,
} from '../../../cdk8s/crd/stream-scaler.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { isApiError } from '../runtime/api/errors.ts';
import { type Store, splitKey } from '../runtime/cache/store.ts';
import { type Condition, setCondition } from '../runtime/conditions.ts';
import { type Reconcile, untilNextTurn } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/event-recorder.ts';
import type { StatusWriter } from '../runtime/status.ts';
import { DEFAULT_SETTINGS } from '../scaling/spec.ts';
import { ABLE_TO_SCALE, type Actor, TOLD_BY_ACT } from './actor.ts';
import type { AwsPool } from './aws-pool.ts';
import { type Conflicts, olderOnStream } from './conflicts.ts';
import { endpointProblem } from './endpoints.ts';
import type { ScalerMetrics } from './metrics.ts';
import { type Plan, planFor } from './plan.ts';
import { StreamReader } from './stream-reader.ts';
import type { Target, TargetProblem, Targets } from './target.ts';
import { WriteThrottles } from './write-throttles.ts';

export interface ReconcilerDeps {
  store: Store<StreamScaler>;
  targets: Targets;
  actor: Actor;
  conflicts: Conflicts;
  status: StatusWriter<StreamScaler>;
  recorder: EventRecorder;
  aws: AwsPool;
  metrics: ScalerMetrics;
  clock: Clock;
  log: Logger;
  /** Origins that a stream's endpoint may have besides those of Kinesis at AWS; `*` for any. */
  streamEndpoints: readonly string[];
  /** Whether CloudWatch is asked what producers are refused, where shards may be changed. */
  writeThrottles: boolean;
  /** Time between two looks at a StreamScaler, in ms. */
  tickMs: number;
}

type ConditionUpdate = Omit<Condition, 'lastTransitionTime'>;

/** A reader with what it was made for. */
interface KeptReader {
  reader: StreamReader;
  of: string;
}

/**
 * Reconciles StreamScalers: look at target and stream, decide, write the decision down, act, write down what came of it.
 *
 * What is written before the act is what makes a crash in between harmless: a reshard is in the ledger before AWS hears of
 * it, and setting replicas to a number twice is setting it once.
 */
export class StreamScalerReconciler {
  readonly #deps: ReconcilerDeps;
  readonly #readers = new Map<string, KeptReader>();

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  readonly reconcile: Reconcile = async (key, signal) => {
    const { store, clock, tickMs } = this.#deps;
    const scaler = store.get(key);
    if (!scaler || scaler.metadata.deletionTimestamp !== undefined) {
      this.#forget(key);
      return {};
    }
    try {
      await this.#one(key, scaler, signal);
    } catch (error) {
      // Deleted while we looked: its cache entry follows.
      if (isApiError(error, 'not-found') && store.get(key)?.metadata.uid !== scaler.metadata.uid) return {};
      throw error;
    }
    return { requeueAfterMs: untilNextTurn(key, tickMs, clock.now()) };
  };

  async #one(key: string, scaler: StreamScaler, signal: AbortSignal): Promise<void> {
    const { targets, actor, metrics, status, clock } = this.#deps;
    const foreign = endpointProblem(scaler.spec.stream.endpoint, this.#deps.streamEndpoints);
    const [target, seen] = await Promise.all([
      targets.read(scaler, signal),
      foreign ? { stream: undefined, problems: [foreign.message] } : this.#reader(key, scaler).observe(),
    ]);
    const hindrances = await this.#hindrances(scaler, target);
    const problems = 'problem' in target ? [target.problem.message, ...seen.problems] : seen.problems;
    const plan = planFor({
      observation: {
        at: clock.now(),
        target: 'problem' in target ? undefined : { replicas: target.replicas, ready: target.ready },
        stream: seen.stream,
        problems,
      },
      // A reshard that will not be made must not get into the ledger either.
      spec: hindrances.reshard ? { ...scaler.spec, mode: 'ReplicasOnly' } : scaler.spec,
      paused: scaler.metadata.annotations?.[PAUSED_ANNOTATION] === 'true',
      status: scaler.status,
      settings: { ...DEFAULT_SETTINGS, tickSeconds: this.#deps.tickMs / 1_000 },
    });
    const actions = plan.actions.filter(({ kind }) => kind !== 'scale' || hindrances.scale === undefined);
    const wanted = this.#status(scaler, plan, { ...hindrances, stream: foreign }, actions);
    signal.throwIfAborted();
    // Written before anything is done; with the version that was read, so that it is not done on an old view.
    const written = await status.write(scaler, wanted, signal);
    this.#tell(scaler, plan, wanted);
    metrics.show(scaler, wanted);
    const shards = seen.stream?.shards ?? [];
    if (actions.length > 0) await actor.act({ scaler: written, plan, target, shards }, actions, signal);
  }

  /** Why replicas or shards are not to be touched, whatever the plan says. */
  async #hindrances(
    scaler: StreamScaler,
    target: Target,
  ): Promise<{ scale?: TargetProblem; reshard?: TargetProblem }> {
    const { conflicts, store, aws } = this.#deps;
    const { mode } = scaler.spec;
    const found: { scale?: TargetProblem; reshard?: TargetProblem } = {};
    if ('problem' in target) found.scale = target.problem;
    else if (mode !== 'Recommend') {
      const other = await conflicts.ofTarget(scaler, store.values()).catch((error: unknown) => {
        if (isApiError(error, 'forbidden')) return error;
        throw error;
      });
      if (typeof other === 'string') {
        const message = `${other} sets the replicas of ${scaler.spec.scaleTargetRef.name} too; remove one of the two. Until then this one leaves them alone.`;
        found.scale = { reason: 'Conflict', message };
      } else if (other) found.scale = { reason: 'PermissionMissing', message: other.message };
    }
    const older = mode === 'Full' ? olderOnStream(scaler, store.values(), aws.region) : undefined;
    if (older !== undefined) {
      const message = `StreamScaler ${older} sets the shards of this stream; AWS counts the calls of both, so this one leaves them alone.`;
      found.reshard = { reason: 'Conflict', message };
    }
    return found;
  }

  /** The status to be written before the acts. */
  #status(
    scaler: StreamScaler,
    plan: Plan,
    hindrances: { stream: TargetProblem | undefined; scale?: TargetProblem; reshard?: TargetProblem },
    actions: Plan['actions'],
  ): StreamScalerStatus {
    const { generation } = scaler.metadata;
    const before = scaler.status?.conditions ?? [];
    const updates = new Map<string, Omit<ConditionUpdate, 'observedGeneration'>>();
    for (const condition of plan.conditions) updates.set(condition.type, condition);
    updates.set('AbleToScale', ABLE_TO_SCALE);
    if (hindrances.scale) {
      updates.set('AbleToScale', { type: 'AbleToScale', status: 'False', ...hindrances.scale });
      updates.set('Ready', { type: 'Ready', status: 'False', ...hindrances.scale });
    }
    if (hindrances.stream) updates.set('Ready', { type: 'Ready', status: 'False', ...hindrances.stream });
    if (hindrances.reshard) {
      updates.set('AbleToReshard', { type: 'AbleToReshard', status: 'False', ...hindrances.reshard });
    }
    // What is about to be tried is told by its outcome: else a lasting refusal would turn the condition twice a tick.
    for (const { kind } of actions) {
      const type = kind === 'scale' ? 'AbleToScale' : 'AbleToReshard';
      const known = before.find((c) => c.type === type);
      if (known) updates.set(type, known);
    }
    let conditions: Condition[] = [...before];
    for (const { type, status, reason, message } of updates.values()) {
      conditions = setCondition(
        conditions,
        { type, status, reason, message, observedGeneration: generation },
        plan.decision.at,
      );
    }
    // What is not known is not there; what was would pass for what is, with KEDA too.
    const { lag: _lag, replicas: _replicas, ...known } = scaler.status ?? {};
    return { ...known, ...plan.status, observedGeneration: generation, conditions };
  }

  /** Log, metrics and those Events of a decision that don't wait for an act. */
  #tell(scaler: StreamScaler, plan: Plan, status: StreamScalerStatus): void {
    const { recorder, metrics, log } = this.#deps;
    const { namespace, name } = scaler.metadata;
    const { decision } = plan;
    metrics.decisions.inc({ subject: 'replicas', reason: decision.replicas.reason });
    metrics.decisions.inc({ subject: 'shards', reason: decision.shards.reason });
    for (const { type, reason, message } of plan.events) {
      if (!TOLD_BY_ACT.has(reason)) recorder.record(scaler, type, reason, message);
    }
    const conflict = status.conditions?.find((c) => c.reason === 'Conflict');
    const known = scaler.status?.conditions?.some(
      (c) => c.type === conflict?.type && c.reason === 'Conflict',
    );
    if (conflict && !known) recorder.record(scaler, 'Warning', 'Conflict', conflict.message);
    if (status.lastDecision?.time === scaler.status?.lastDecision?.time) return;
    log.info(
      { namespace, scaler: name, action: status.lastDecision?.action, mode: scaler.spec.mode },
      decision.sentence,
    );
  }

  /** The reader of a StreamScaler: it remembers what it saw of each shard. */
  #reader(key: string, { metadata, spec }: StreamScaler): StreamReader {
    const throttles = this.#deps.writeThrottles && spec.mode === 'Full' && spec.shards !== undefined;
    const of = JSON.stringify([metadata.uid, spec.stream, spec.consumer, throttles]);
    const kept = this.#readers.get(key);
    if (kept?.of === of) return kept.reader;
    const { aws, clock, log } = this.#deps;
    const { kinesis, dynamodb, cloudwatch } = aws.for(spec.stream);
    const [stream = ''] = (spec.stream.arn ?? spec.stream.name ?? '').split('/').slice(-1);
    const reader = new StreamReader({
      kinesis,
      dynamodb,
      stream: spec.stream.arn ?? spec.stream.name ?? '',
      leaseTable: spec.consumer.leaseTable,
      clock,
      ...(throttles ? { writeThrottles: new WriteThrottles({ cloudwatch, stream, clock, log }) } : {}),
    });
    this.#readers.set(key, { reader, of });
    if (kept) this.#endUnused();
    return reader;
  }

  #forget(key: string): void {
    const { namespace = '', name } = splitKey(key);
    if (this.#readers.delete(key)) this.#endUnused();
    this.#deps.metrics.forget(namespace, name);
  }
  /** The last StreamScaler of a region or an endpoint may be gone, and its clients with it. */
  #endUnused(): void {
    const { aws, store } = this.#deps;
    aws.keepOnly(Array.from(store.values(), ({ spec }) => spec.stream));
  }
}
