import { groupShards } from '../../shared/kcl/group-shards.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';

/** After this time without a report its owner counts as silent, in ms: nine renewals of a lease. */
export const REPORT_TIMEOUT_MS = 30_000;
/** Shards that are shown; the rest is counted. */
const MAX_SHOWN = 300;
const HASH_KEYS = 1n << 128n;

/**
 * `reading`: open, and its owner reports. `draining`: closed, and being read to its end. `waiting`: its parents come
 * first. `silent`: somebody holds its lease and doesn't report: a KCL application, or a worker that died.
 * `unowned`: nobody reads it. `finished`: read to its end.
 */
type ShardState = 'reading' | 'draining' | 'waiting' | 'silent' | 'unowned' | 'finished';

interface ShardView {
  shardId: string;
  state: ShardState;
  open: boolean;
  owner: string | undefined;
  /** How far its reader is behind, in ms; `undefined` while that isn't known. */
  lagMs: number | undefined;
  recordsPerSecond: number | undefined;
  bytesPerSecond: number | undefined;
  /** Share of the time in which its reader was busy, 0-1. */
  busyShare: number | undefined;
  /** Age of the report, in ms. */
  reportAgeMs: number | undefined;
  parents: readonly string[];
  /** How many reshards lie before it, as far as they are still listed. */
  generation: number;
  /** Where its hash keys begin and how many they are, as shares of the whole space, 0-1. */
  range: { from: number; share: number };
}

export interface ShardsView {
  shards: ShardView[];
  open: number;
  /** Shards that are still to be read. */
  unfinished: number;
  /** Not shown since there are too many. */
  omitted: number;
  /** Workers that report. */
  workers: string[];
  /** Of the shard that is furthest behind. */
  worst: { shardId: string; lagMs: number } | undefined;
  /** Shards of which it isn't known how far behind they are. */
  unknownLag: number;
  /** Records a second that the workers report; `undefined` when none does. */
  recordsPerSecond: number | undefined;
}

/** Shards and leases put together as the page shows them. @param now ms since the epoch. */
export function viewShards(
  listed: readonly ShardInfo[],
  leases: ReadonlyMap<string, Lease>,
  now: number,
): ShardsView {
  const group = new Map(groupShards(listed, leases).map((one) => [one.shard.shardId, one]));
  const generations = generationsOf(listed);
  const all = listed.map((shard): ShardView => {
    const lease = leases.get(shard.shardId);
    const report = lease?.report;
    const reportAgeMs = report && Math.max(0, now - report.reportedAt);
    const fresh = lease?.leaseOwner !== undefined && (reportAgeMs ?? Infinity) <= REPORT_TIMEOUT_MS;
    const one = group.get(shard.shardId);
    const state = !one
      ? 'finished'
      : !one.startable
        ? 'waiting'
        : lease?.leaseOwner === undefined
          ? 'unowned'
          : !fresh
            ? 'silent'
            : shard.open
              ? 'reading'
              : 'draining';
    const told = state === 'reading' || state === 'draining' ? report : undefined;
    return {
      shardId: shard.shardId,
      state,
      open: shard.open,
      owner: one ? lease?.leaseOwner : undefined,
      lagMs: told?.millisBehindLatest,
      recordsPerSecond: told?.recordsPerSecond,
      bytesPerSecond: told?.bytesPerSecond,
      busyShare: told?.busyShare,
      reportAgeMs: one ? reportAgeMs : undefined,
      parents: shard.parentShardIds,
      generation: generations.get(shard.shardId) ?? 0,
      range: rangeOf(shard.hashKeyRange),
    };
  });
  const unfinished = all.filter(({ state }) => state !== 'finished');
  const reporting = unfinished.filter(({ state }) => state === 'reading' || state === 'draining');
  const known = unfinished.filter((s): s is ShardView & { lagMs: number } => s.lagMs !== undefined);
  const worst = known.reduce<ShardsView['worst']>(
    (most, { shardId, lagMs }) => (lagMs > (most?.lagMs ?? -1) ? { shardId, lagMs } : most),
    undefined,
  );
  return {
    // What is to be read comes before what is done with.
    shards: [...unfinished, ...all.filter(({ state }) => state === 'finished')].slice(0, MAX_SHOWN),
    open: listed.filter(({ open }) => open).length,
    unfinished: unfinished.length,
    omitted: Math.max(0, all.length - MAX_SHOWN),
    workers: [...new Set(reporting.flatMap(({ owner }) => owner ?? []))].sort(),
    worst,
    unknownLag: unfinished.filter((s) => s.lagMs === undefined && s.state !== 'waiting').length,
    recordsPerSecond:
      reporting.length === 0 ? undefined : reporting.reduce((sum, s) => sum + (s.recordsPerSecond ?? 0), 0),
  };
}

function generationsOf(listed: readonly ShardInfo[]): Map<string, number> {
  const shards = new Map(listed.map((shard) => [shard.shardId, shard]));
  const known = new Map<string, number>();
  const of = (shardId: string): number => {
    const found = known.get(shardId);
    if (found !== undefined) return found;
    known.set(shardId, 0); // a listing with a cycle in it must not hang us
    const parents = (shards.get(shardId)?.parentShardIds ?? []).filter((id) => shards.has(id));
    const generation = parents.length === 0 ? 0 : 1 + Math.max(...parents.map(of));
    known.set(shardId, generation);
    return generation;
  };
  for (const { shardId } of listed) of(shardId);
  return known;
}

function rangeOf({ starting, ending }: ShardInfo['hashKeyRange']): ShardView['range'] {
  if (!/^\d+$/.test(starting) || !/^\d+$/.test(ending)) return { from: 0, share: 0 };
  const share = (keys: bigint) => Number((keys * 1_000_000n) / HASH_KEYS) / 1e6;
  return { from: share(BigInt(starting)), share: share(BigInt(ending) - BigInt(starting) + 1n) };
}
