import type { LeaseReport } from '../../../shared/kcl/lease-row.ts';
import { decide } from '../decide.ts';
import { emptyMemory } from '../memory.ts';
import type { Observation, ShardObservation } from '../observation.ts';
import { ShardHistory } from '../shard-history.ts';
import type { ScalingSpec } from '../spec.ts';
import type { Work } from './group.ts';
import { lagOf, type Policy, type View } from './policy.ts';
import { hashKeys } from './stream.ts';

/** Weir: the controller's own code, fed with the reports that consumers would write. */
export function weirPolicy(spec: ScalingSpec, bytesPerRecord: number, startMs: number): Policy {
  const history = new ShardHistory(30_000);
  let memory = emptyMemory();
  return {
    name: spec.mode === 'Full' ? 'weir' : 'weir, replicas only',
    tick(view) {
      const observation = observe(view, history, bytesPerRecord, startMs);
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
    stream: { status: stream.status, provisioned: true, shards, throttledShare: undefined },
    problems: [],
  };
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
