import type { StreamScaler } from '../../../cdk8s/crd/stream-scaler.ts';
import type { Logger } from '../../shared/log.ts';
import type { KubeClient } from '../runtime/api/client.ts';
import { type ApiError, isApiError } from '../runtime/api/errors.ts';
import type { Scale, ScaleClient } from '../runtime/scale-client.ts';
import type { ShardObservation } from '../scaling/observation.ts';
import { writeDeletionCosts } from './deletion-cost.ts';

/** The scale target as it was read, or why it was not. */
export type Target = { scale: Scale; replicas: number; ready: number } | { problem: TargetProblem };

export interface TargetProblem {
  /** A condition's reason. */
  reason: string;
  message: string;
}

/** Kinds whose pods a ReplicaSet deletes: it alone looks at the deletion cost. */
const WITH_DELETION_COST = new Set(['Deployment', 'ReplicaSet', 'Rollout']);

/** Reads and sets the replicas of a StreamScaler's target. */
export class Targets {
  readonly #client: KubeClient;
  readonly #scales: ScaleClient;
  readonly #log: Logger;

  constructor(client: KubeClient, scales: ScaleClient, log: Logger) {
    this.#client = client;
    this.#scales = scales;
    this.#log = log;
  }

  /** @throws ApiError when the API server itself is not well; what is wrong with the target is a problem, not an error. */
  async read(scaler: StreamScaler, signal: AbortSignal): Promise<Target> {
    const { namespace } = scaler.metadata;
    const target = scaler.spec.scaleTargetRef;
    try {
      const scale = await this.#scales.get(namespace, target, signal);
      const replicas = scale.spec.replicas ?? 0;
      const exist = scale.status?.replicas ?? 0;
      const ready = await this.#scales.readyReplicas(namespace, target, signal);
      return { scale, replicas, ready: ready ?? Math.min(exist, replicas) };
    } catch (error) {
      const problem = problemOfTarget(scaler, error);
      if (!problem) throw error;
      return { problem };
    }
  }

  /**
   * Sets the replicas; before it takes pods away it tells which have the least to hand over.
   *
   * @returns why it was refused, or undefined.
   * @throws ApiError when it may work at the next try: a conflict, a time-out.
   */
  async scale(
    scaler: StreamScaler,
    scale: Scale,
    replicas: number,
    shards: readonly ShardObservation[],
    signal: AbortSignal,
  ): Promise<TargetProblem | undefined> {
    const { namespace } = scaler.metadata;
    const target = scaler.spec.scaleTargetRef;
    const selector = scale.status?.selector;
    try {
      const scalesIn = replicas < (scale.spec.replicas ?? 0) && replicas > 0;
      if (scalesIn && selector && WITH_DELETION_COST.has(target.kind)) {
        // A courtesy to the group: without it any pod goes, and hands over.
        await writeDeletionCosts(this.#client, namespace, selector, shards, signal).catch((err: unknown) =>
          this.#log.warn(
            { err, namespace, target: target.name },
            'the cost of deleting each pod was not written',
          ),
        );
      }
      await this.#scales.set(namespace, target, scale, replicas, signal);
      return undefined;
    } catch (error) {
      const problem = problemOfTarget(scaler, error);
      if (!problem) throw error;
      return problem;
    }
  }
}

function problemOfTarget(scaler: StreamScaler, error: unknown): TargetProblem | undefined {
  const { kind, name } = scaler.spec.scaleTargetRef;
  if (!isApiError(error, 'not-found', 'invalid', 'forbidden', 'already-exists', 'refused')) return undefined;
  const reasons: Partial<Record<ApiError['kind'], string>> = {
    'not-found': 'TargetNotFound',
    invalid: 'TargetNotScalable',
    forbidden: 'PermissionMissing',
  };
  // What the API server says of a missing permission names user, verb and resource.
  return { reason: reasons[error.kind] ?? 'TargetRefused', message: `${kind} ${name}: ${error.message}` };
}
