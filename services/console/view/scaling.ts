import { RESHARD_CALLS_PER_DAY } from '../../../cdk8s/crd/stream-scaler.ts';
import type { Scaler } from '../reads/stream-scaler.ts';

const MAX_DECISIONS = 30;

interface Decision {
  /** ISO 8601. */
  time: string;
  action: string;
  reason: string;
}

export interface ScalingView {
  mode: string | undefined;
  maxLagSeconds: number | undefined;
  replicas: { current: number; desired: number; min?: number; max?: number } | undefined;
  shards: { open: number; desired: number; min?: number; max?: number } | undefined;
  reshardBudget: { used: number; left: number; of: number } | undefined;
  conditions: { type: string; status: string; reason: string; message: string }[];
  /** Newest first: the latest, and those before it that this console saw. */
  decisions: Decision[];
}

/** A StreamScaler's status as the page shows it, with the decisions that were seen in it so far. */
export class Scaling {
  #decisions: Decision[] = [];

  view({ spec, status }: Scaler): ScalingView {
    const last = status?.lastDecision;
    const before = this.#decisions[0];
    if (
      last &&
      (before?.time !== last.time || before.action !== last.action || before.reason !== last.reason)
    ) {
      // The same decision goes on, and its figures move: that is one line, not many.
      const kept = before?.time === last.time ? this.#decisions.slice(1) : this.#decisions;
      this.#decisions = [last, ...kept].slice(0, MAX_DECISIONS);
    }
    const budget = status?.reshardBudget;
    return {
      mode: spec.mode,
      maxLagSeconds: spec.objective?.maxLagSeconds,
      replicas: status?.replicas && { ...status.replicas, ...spec.replicas },
      shards: status?.shards && { ...status.shards, ...spec.shards },
      reshardBudget: budget && {
        used: budget.used,
        left: Math.max(0, RESHARD_CALLS_PER_DAY - budget.used),
        of: RESHARD_CALLS_PER_DAY,
      },
      conditions: (status?.conditions ?? []).map(({ type, status: holds, reason, message }) => ({
        type,
        status: holds,
        reason,
        message,
      })),
      decisions: this.#decisions,
    };
  }
}
