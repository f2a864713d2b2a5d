import type { Memory } from './memory.ts';
import type { ScalingPolicy, ScalingRules } from './spec.ts';

type ScaleEvent = Memory['scaleEvents'][number];

/** Replicas that policies allow at most (up) at this moment; as in HPA each period starts from what was then. */
export function upperLimit(
  rules: ScalingRules,
  events: readonly ScaleEvent[],
  current: number,
  now: number,
): number {
  const { selectPolicy = 'Max', policies = [] } = rules;
  if (selectPolicy === 'Disabled') return current;
  if (policies.length === 0) return Number.POSITIVE_INFINITY;
  const limits = policies.map((policy) => {
    const start = replicasAtStart(policy, events, current, now);
    return policy.type === 'Pods' ? start + policy.value : Math.ceil(start * (1 + policy.value / 100));
  });
  return Math.max(current, selectPolicy === 'Max' ? Math.max(...limits) : Math.min(...limits));
}

/** The same for down: replicas that must be left. */
export function lowerLimit(
  rules: ScalingRules,
  events: readonly ScaleEvent[],
  current: number,
  now: number,
): number {
  const { selectPolicy = 'Max', policies = [] } = rules;
  if (selectPolicy === 'Disabled') return current;
  if (policies.length === 0) return 0;
  const limits = policies.map((policy) => {
    const start = replicasAtStart(policy, events, current, now);
    return policy.type === 'Pods' ? start - policy.value : Math.floor(start * (1 - policy.value / 100));
  });
  return Math.max(0, Math.min(current, selectPolicy === 'Max' ? Math.min(...limits) : Math.max(...limits)));
}

function replicasAtStart(
  policy: ScalingPolicy,
  events: readonly ScaleEvent[],
  current: number,
  now: number,
): number {
  return events
    .filter((event) => event.at > now - policy.periodSeconds * 1000)
    .reduce((replicas, event) => replicas - (event.to - event.from), current);
}
