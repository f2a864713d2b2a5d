import type { LeaseReport } from '../../../shared/kcl/lease-row.ts';
import { decide } from '../decide.ts';
import { emptyMemory } from '../memory.ts';
import type { Observation, ShardObservation } from '../observation.ts';
import { LagHistory } from '../relative.ts';
import { ShardHistory } from '../shard-history.ts';
import type { ScalingSpec } from '../spec.ts';
import type { Work } from './group.ts';
import { lagOf, type Policy, type View } from './policy.ts';
import { hashKeys } from './stream.ts';

/** Weir: the controller's own code, fed with the reports that consumers would write. */
export function weirPolicy(
  spec: ScalingSpec,
  bytesPerRecord: number,
  startMs: number,
  { lagOnly = false } = {},
): Policy {
  const history = new ShardHistory(30_000);
  const lags = lagOnly ? new LagHistory() : undefined;
  let memory = emptyMemory();
  return {
    name: lagOnly ? 'weir, lag only' : spec.mode === 'Full' ? 'weir' : 'weir, replicas only',
    tick(view) {
      const seen = observe(view, history, bytesPerRecord, startMs);
      const observation = lags ? withoutReports(seen, lags) : seen;
      const result = decide({ observation, spec, paused: false, memory });
      ({ memory } = result);
      const { decision } = result;
      return {
        replicas: decision.replicas.desired,
        reshard: decision.acts.shards ? decision.shards.step : undefined,
        sentence: decision.sentence,
      };
    },
  };
}

function observe(view: View, history: ShardHistory, bytesPerRecord: number, startMs: number): Observation {
  const { t, stream, group, work, blackout } = view;
  const at = startMs + t * 1000;
  const target = { replicas: group.replicas, ready: group.ready(t) };
  if (blackout) return { at, target, stream: undefined, problems: ['the lease table could not be read'] };
  const shards = stream.shards.map((shard): ShardObservation => {
    const lagSeconds = lagOf(shard, t);
    const done = work.get(shard);
    const report = done && reportOf(done, lagSeconds, bytesPerRecord, at);
    const progress = history.take(shard.id, done?.pod, report, at, at);
    return {
      shardId: shard.id,
      open: shard.open,
      startable: shard.parents.length === 0,
      hashKeyRange: hashKeys(shard),
      lagSeconds,
      owner: progress ? done?.pod : undefined,
      arrival: progress?.arrival,
      processed: progress?.processed,
      busyShare: progress?.busyShare,
    };
  });
  history.keep(new Set(stream.shards.map(({ id }) => id)));
  return {
    at,
    target,
    stream: { status: stream.status, provisioned: true, shards, throttled: undefined },
    problems: [],
  };
}

/** What is left of it when the consumers are a KCL application: lags by probes, and owners. */
function withoutReports(seen: Observation, lags: LagHistory): Observation {
  if (!seen.stream) return seen;
  const shards = seen.stream.shards.map((shard): ShardObservation => {
    // Its time is as good a counter as any.
    const progress = shard.owner && lags.take(shard, shard.lagSeconds ?? 0, seen.at, seen.at);
    const nothing = { arrival: undefined, processed: undefined, busyShare: undefined };
    return { ...shard, ...nothing, ...(progress || {}) };
  });
  return { ...seen, stream: { ...seen.stream, shards, relative: true } };
}

/** What a shard's owner writes into its lease. */
function reportOf(
  { processed, busy }: Work,
  lagSeconds: number,
  bytesPerRecord: number,
  at: number,
): LeaseReport {
  return {
    reportedAt: at,
    millisBehindLatest: lagSeconds * 1000,
    recordsPerSecond: processed,
    bytesPerSecond: processed * bytesPerRecord,
    busyShare: busy,
    lastArrivalAt: undefined,
  };
}
