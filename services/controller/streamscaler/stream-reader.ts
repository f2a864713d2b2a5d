import { type DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import { DescribeStreamSummaryCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import pLimit from 'p-limit';
import type { Clock } from '../../shared/clock.ts';
import { type GroupShard, groupShards, shardOfLease } from '../../shared/kcl/group-shards.ts';
import { fromRow, type Lease } from '../../shared/kcl/lease-row.ts';
import { listShards, streamRef } from '../../shared/list-shards.ts';
import type { Observation, ShardObservation, StreamObservation } from '../scaling/observation.ts';
import { LagHistory } from '../scaling/relative.ts';
import { ShardHistory } from '../scaling/shard-history.ts';
import { probeFrom, probeLag } from './probe.ts';
import { problemOf } from './problems.ts';
import type { WriteThrottles } from './write-throttles.ts';

/** Kinesis gives a shard 5 reads a second to all its readers: a probe takes a twenty-fifth at most. */
const MIN_PROBE_INTERVAL_MS = 5_000;
/** Probes of one stream at the same time. */
const CONCURRENT_PROBES = 10;
/** Problems that are told; a stream with a thousand shards that can't be read has one cause. */
const MAX_PROBLEMS = 3;

export interface StreamReaderDeps {
  kinesis: KinesisClient;
  dynamodb: DynamoDBClient;
  /** Name or ARN. */
  stream: string;
  leaseTable: string;
  clock: Clock;
  /** What producers are refused; left out: nobody is asked. */
  writeThrottles?: WriteThrottles;
  /** After what time without a new report its shard is probed, in ms. Default 30,000: nine renewals of a lease. */
  reportTimeoutMs?: number;
}

/**
 * Reads how far one consumer group is behind on one stream: from the reports of the lease's owners, and for shards that
 * nobody owns or reports on by a look at the stream itself. Keeps what it saw of each shard, so keep one reader for
 * each StreamScaler; memory grows with the stream's shards.
 */
export class StreamReader {
  readonly #deps: StreamReaderDeps;
  readonly #history: ShardHistory;
  readonly #lags = new LagHistory();
  readonly #probes = new Map<string, { at: number; lagSeconds: number }>();

  constructor(deps: StreamReaderDeps) {
    this.#deps = deps;
    this.#history = new ShardHistory(deps.reportTimeoutMs ?? 30_000);
  }

  /** Never throws for what a service answers: what could not be read is left out, and named in `problems`. */
  async observe(): Promise<Pick<Observation, 'stream' | 'problems'>> {
    const { kinesis, stream, leaseTable } = this.#deps;
    const problems: string[] = [];
    const [summary, shards, leases] = await Promise.all([
      this.#summary().catch((error: unknown) => {
        problems.push(problemOf('kinesis:DescribeStreamSummary', stream, error));
        return undefined;
      }),
      listShards(kinesis, stream).catch((error: unknown) => {
        problems.push(problemOf('kinesis:ListShards', stream, error));
        return undefined;
      }),
      this.#leases().catch((error: unknown) => {
        problems.push(problemOf('dynamodb:Scan', leaseTable, error));
        return undefined;
      }),
    ]);
    if (!shards || !leases) return { stream: undefined, problems };
    const group = groupShards(shards, leases);
    this.#forget(group);
    const limit = pLimit(CONCURRENT_PROBES);
    const observed = await Promise.all(
      group.map((one) => limit(() => this.#shard(one, leases.size, problems))),
    );
    // A table without a single report is a KCL application's: then the movement of the lag must do.
    const relative =
      leases.size > 0 && !Array.from(leases.values()).some(({ report }) => report !== undefined);
    return {
      stream: {
        // Not known: then no change is made.
        status: summary?.StreamStatus ?? 'UNKNOWN',
        provisioned: summary?.StreamModeDetails?.StreamMode !== 'ON_DEMAND',
        shards: relative ? this.#byLag(observed, leases) : observed,
        relative,
        throttled: this.#deps.writeThrottles?.latest(),
      } satisfies StreamObservation,
      problems: problems.slice(0, MAX_PROBLEMS),
    };
  }

  async #summary() {
    const { kinesis, stream } = this.#deps;
    const answer = await kinesis.send(new DescribeStreamSummaryCommand(streamRef(stream)));
    return answer.StreamDescriptionSummary;
  }

  /** The leases of this stream by shard. */
  async #leases(): Promise<Map<string, Lease>> {
    const { dynamodb, leaseTable, stream } = this.#deps;
    const leases = new Map<string, Lease>();
    for await (const page of paginateScan(
      { client: dynamodb },
      { TableName: leaseTable, ConsistentRead: true },
    )) {
      for (const row of page.Items ?? []) {
        const lease = fromRow(row);
        const shardId = lease && shardOfLease(lease.leaseKey, stream);
        if (lease && shardId) leases.set(shardId, lease);
      }
    }
    return leases;
  }

  async #shard(one: GroupShard, leases: number, problems: string[]): Promise<ShardObservation> {
    const { shard, lease, startable } = one;
    const now = this.#deps.clock.now();
    const { leaseOwner: owner, report } = lease ?? {};
    const progress = this.#history.take(shard.shardId, owner, report, now, this.#deps.clock.monotonic());
    return {
      shardId: shard.shardId,
      open: shard.open,
      startable,
      hashKeyRange: shard.hashKeyRange,
      owner: progress ? owner : undefined,
      arrival: progress?.arrival,
      processed: progress?.processed,
      busyShare: progress?.busyShare,
      workerUtilization: progress?.workerUtilization,
      lagSeconds: progress?.lagSeconds ?? (await this.#probe(one, leases, now, problems)),
    };
  }

  /** What the lags of shards say that a live worker holds. */
  #byLag(shards: readonly ShardObservation[], leases: ReadonlyMap<string, Lease>): ShardObservation[] {
    const monotonic = this.#deps.clock.monotonic();
    return shards.map((shard) => {
      const lease = leases.get(shard.shardId);
      const { lagSeconds } = shard;
      if (lease?.leaseOwner === undefined || lagSeconds === undefined) return shard;
      const progress = this.#lags.take(shard, lagSeconds, lease.leaseCounter, monotonic);
      return progress ? { ...shard, ...progress, owner: lease.leaseOwner } : shard;
    });
  }

  /** The lag that the stream itself shows, at most once in a while; `undefined` when it can't be known. */
  async #probe({ shard, lease }: GroupShard, leases: number, now: number, problems: string[]) {
    const { kinesis, stream, clock, leaseTable } = this.#deps;
    const { shardId } = shard;
    if (leases === 0) {
      problems.push(
        `lease table ${leaseTable} has no lease of this stream yet, the consumer must have run once`,
      );
      return undefined;
    }
    const since = lease?.startedAt ?? this.#history.firstSeen(shardId) ?? now;
    // A shard without a lease that descends from a leased one is read from its start; another one from nobody knows where.
    const from = lease || shard.parentShardIds.length > 0 ? probeFrom(lease?.checkpoint, since) : undefined;
    if (!from) {
      problems.push(`where the consumer begins on ${shardId} isn't known until its first checkpoint`);
      return undefined;
    }
    const last = this.#probes.get(shardId);
    if (last && clock.monotonic() - last.at < MIN_PROBE_INTERVAL_MS) return last.lagSeconds;
    const at = clock.monotonic();
    try {
      const lagSeconds = await probeLag(kinesis, stream, shardId, from, () => clock.now());
      this.#probes.set(shardId, { at, lagSeconds });
      return lagSeconds;
    } catch (error) {
      this.#probes.delete(shardId);
      problems.push(problemOf('kinesis:GetRecords', `${stream}, ${shardId}`, error));
      return undefined;
    }
  }

  #forget(group: readonly GroupShard[]): void {
    const kept = new Set(group.map(({ shard }) => shard.shardId));
    this.#history.keep(kept);
    this.#lags.keep(kept);
    for (const shardId of this.#probes.keys()) if (!kept.has(shardId)) this.#probes.delete(shardId);
  }
}
