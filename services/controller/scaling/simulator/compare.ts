import type { ScalingSpec } from '../spec.ts';
import { type Optimum, optimum } from './optimum.ts';
import type { Policy } from './policy.ts';
import { hpaCpuPolicy, kedaIteratorAgePolicy, kedaKinesisPolicy, staticPolicy } from './rivals.ts';
import { type Outcome, simulate, type World } from './simulate.ts';
import type { Trace } from './trace.ts';
import { weirPolicy } from './weir.ts';

/** Any moment; a run doesn't depend on it. */
const START_MS = Date.UTC(2026, 0, 1);
/** Share of a shard's write limit that somebody plans with who sizes a stream by hand. */
const PLANNED_USE = 0.8;

/** The objective and bounds of the table in docs/explanation/scaling.md: the StreamScaler's defaults. */
export const DEFAULT_SPEC: ScalingSpec = {
  replicas: { min: 1, max: 20 },
  shards: { min: 1, max: 40 },
  objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
  mode: 'Full',
};

export interface Comparison {
  trace: Trace;
  /** Weir in mode Full first, then in mode ReplicasOnly, then the same by lag alone, then the others. */
  outcomes: Outcome[];
  /** What it costs at least with the reserve of the objective; `undefined` when the bounds allow no plan. */
  optimum: Optimum | undefined;
  /** The same when pods and shards run full, which no policy dares that doesn't know the future. */
  bound: Optimum | undefined;
}

/**
 * All policies on one trace. Only Weir in mode Full can change shards. Everybody else gets a stream that is sized for
 * the trace's peak, as somebody would size it who knew it; Weir in mode Full starts with the shards of the first
 * second. All start with the pods of the first second.
 */
export function compare(trace: Trace, spec: ScalingSpec, world: World): Comparison {
  const { objective, replicas: bounds, shards: shardBounds = { min: 1, max: 10_000 } } = spec;
  const pods = (rate: number) =>
    within(bounds, Math.ceil(rate / objective.utilization / world.group.podRate));
  const shards = (rate: number) =>
    within(shardBounds, Math.ceil(rate / PLANNED_USE / world.stream.shardRate));
  const first = offeredAt(trace, 0);
  const peak = peakOf(trace);
  const byHand = { replicas: pods(first), shards: shards(peak) };
  const run = (policy: Policy, start = byHand) => simulate(trace, policy, start, spec, world);
  const weir = (mode: 'Full' | 'ReplicasOnly') =>
    weirPolicy({ ...spec, mode }, world.bytesPerRecord, START_MS);
  return {
    trace,
    outcomes: [
      run(weir('Full'), { replicas: pods(first), shards: shards(first) }),
      run(weir('ReplicasOnly')),
      run(weirPolicy({ ...spec, mode: 'ReplicasOnly' }, world.bytesPerRecord, START_MS, { lagOnly: true })),
      run(kedaKinesisPolicy(bounds)),
      run(kedaIteratorAgePolicy(bounds, objective.maxLagSeconds / 4)),
      run(hpaCpuPolicy(bounds, objective.utilization)),
      run(staticPolicy(pods(peak)), { ...byHand, replicas: pods(peak) }),
    ],
    optimum: optimum(trace, spec, world, { podUse: objective.utilization, shardUse: PLANNED_USE }),
    bound: optimum(trace, spec, world, { podUse: 1, shardUse: 1 }),
  };
}

/** How one policy stands to another: by seconds over the objective, then by dollars. */
export type Standing = 'better' | 'as good' | 'dearer' | 'later' | 'worse';

/**
 * `better`: fewer seconds over the objective at no more cost, or as many for less. `dearer`: fewer seconds for more money.
 * `later`: more seconds for less money. `worse`: the other one is better.
 */
export function standing(one: Outcome, other: Outcome): Standing {
  const seconds = one.violationSeconds - other.violationSeconds;
  const cents = Math.round((one.dollars - other.dollars) * 100);
  if (seconds === 0 && cents === 0) return 'as good';
  if (seconds <= 0 && cents <= 0) return 'better';
  if (seconds >= 0 && cents >= 0) return 'worse';
  return seconds < 0 ? 'dearer' : 'later';
}

/** The highest minute. */
function peakOf(trace: Trace): number {
  let peak = 0;
  for (let t = 0; t < trace.seconds; t += 60) {
    const to = Math.min(t + 60, trace.seconds);
    let sum = 0;
    for (let i = t; i < to; i++) sum += offeredAt(trace, i);
    peak = Math.max(peak, sum / (to - t));
  }
  return peak;
}

function offeredAt(trace: Trace, t: number): number {
  return trace.offered(t) + (trace.hotKey?.(t) ?? 0);
}

function within({ min, max }: { min: number; max: number }, value: number): number {
  return Math.min(Math.max(value, min), max);
}
