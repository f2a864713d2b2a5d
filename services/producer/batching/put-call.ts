import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { ProducerMetrics } from '../metrics.ts';
import type { ShardRouter } from '../shards/shard-router.ts';
import {
  type PutOutcome,
  type Sink,
  SinkError,
  type SinkFailure,
  type StoredPosition,
} from '../sink/sink.ts';
import type { Queued } from './lanes.ts';
import type { PackedRecord } from './packer.ts';

/** At most one line about failed calls in this time: while Kinesis is down there are dozens a second. */
const LOG_INTERVAL_MS = 5_000;

export interface CallerDeps {
  sink: Sink;
  router: Pick<ShardRouter, 'map' | 'mispredicted' | 'refresh'>;
  clock: Clock;
  log: Logger;
  metrics: ProducerMetrics;
}

/** What a call meant for one of its shards. */
interface ShardResult {
  /** Why records of it failed, the worst of them; undefined when none did. */
  failure: SinkFailure | undefined;
  /** Bytes of the events that were stored. */
  storedBytes: number;
}

/** What became of the events of a call. */
export interface CallResult<T> {
  stored: T[];
  /** Of `stored`, in the same order. */
  positions: StoredPosition[];
  /** In the order they were packed. */
  failed: { event: T; failure: SinkFailure }[];
  /** By predicted shard. */
  shards: Map<string | undefined, ShardResult>;
  /** Why the call failed as a whole. */
  callFailed: SinkFailure | undefined;
}

/** Makes PutRecords calls and tells for each event whether a consumer will see it. */
export class Caller {
  readonly #deps: CallerDeps;
  #failedCalls = 0;
  #lastLogAt = Number.NEGATIVE_INFINITY;

  constructor(deps: CallerDeps) {
    this.#deps = deps;
  }

  /** Never throws: a call that failed as a whole is one in which every record failed. */
  async put<T extends Queued>(records: readonly PackedRecord<T>[]): Promise<CallResult<T>> {
    const { sink, clock, metrics } = this.#deps;
    const startedAt = clock.monotonic();
    metrics.callRecords.observe(records.length);
    metrics.callEvents.observe(records.reduce((sum, { members }) => sum + members.length, 0));
    for (const { members } of records) {
      metrics.bufferSeconds.observe((startedAt - (members[0]?.acceptedAt ?? startedAt)) / 1000);
    }
    let outcomes: PutOutcome[];
    let callFailed: SinkFailure | undefined;
    try {
      outcomes = await sink.put(records);
    } catch (error) {
      const failure = error instanceof SinkError ? error.failure : 'rejected';
      callFailed = failure;
      outcomes = records.map(() => ({ failure }));
      metrics.callErrors.inc({ reason: failure });
      this.#logFailedCall(error);
    }
    metrics.putSeconds.observe((clock.monotonic() - startedAt) / 1000);
    return { ...(await this.#sort(records, outcomes)), callFailed };
  }

  async #sort<T extends Queued>(
    records: readonly PackedRecord<T>[],
    outcomes: readonly PutOutcome[],
  ): Promise<Omit<CallResult<T>, 'callFailed'>> {
    const { metrics } = this.#deps;
    const result: Omit<CallResult<T>, 'callFailed'> = {
      stored: [],
      positions: [],
      failed: [],
      shards: new Map(),
    };
    await this.#followReshard(records, outcomes);
    for (const [i, record] of records.entries()) {
      const outcome = outcomes[i] ?? { failure: 'unavailable' as const };
      const shard = resultOf(result.shards, record.shardId);
      if ('failure' in outcome) {
        shard.failure = worse(shard.failure, outcome.failure);
        metrics.recordFailures.inc({ reason: outcome.failure }, record.members.length);
        for (const event of record.members) result.failed.push({ event, failure: outcome.failure });
        continue;
      }
      const { shardId, sequenceNumber } = outcome;
      const aggregated = record.members.length > 1;
      for (let i = 0; i < record.members.length; i++) {
        const event = record.members[i] as T;
        if (this.#isSeen(record, event, outcome)) {
          result.stored.push(event);
          shard.storedBytes += event.bytes;
          result.positions.push(aggregated ? { shardId, sequenceNumber, subSequenceNumber: i } : outcome);
        } else {
          metrics.recordFailures.inc({ reason: 'misrouted' });
          result.failed.push({ event, failure: 'unavailable' });
        }
      }
    }
    return result;
  }

  /**
   * An aggregate over several sources that went to another shard than predicted may hold events whose hash keys lie
   * outside that shard: KCL drops those. What can't be shown to be right is sent again.
   */
  #isSeen<T extends Queued>(record: PackedRecord<T>, event: T, { shardId }: StoredPosition): boolean {
    if (record.explicitHashKey === undefined || shardId === record.shardId) return true;
    return this.#deps.router.map?.holds(shardId, event.partitionKey) ?? false;
  }

  /** When an answer shows that the shards have changed, a new map is there before the answers are judged. */
  async #followReshard<T extends Queued>(
    records: readonly PackedRecord<T>[],
    outcomes: readonly PutOutcome[],
  ): Promise<void> {
    const { router, clock } = this.#deps;
    let misrouted: number | undefined;
    for (const [i, { shardId, members, explicitHashKey }] of records.entries()) {
      const outcome = outcomes[i];
      if (shardId === undefined || !outcome || 'failure' in outcome || outcome.shardId === shardId) continue;
      // An aggregate goes by the hash of its first event.
      router.mispredicted((members[0] as T).partitionKey, outcome.shardId);
      if (explicitHashKey === undefined) continue;
      for (const { deadline } of members) misrouted = Math.min(misrouted ?? deadline, deadline);
    }
    if (misrouted === undefined || router.map) return;
    // Their callers wait for this; not longer than the first of them would.
    const waited = new AbortController();
    const sleeping = clock.sleep(misrouted - clock.monotonic(), waited.signal);
    await Promise.race([router.refresh(), sleeping]);
    waited.abort();
  }

  #logFailedCall(error: unknown): void {
    const { clock, log } = this.#deps;
    this.#failedCalls++;
    if (clock.monotonic() - this.#lastLogAt < LOG_INTERVAL_MS) return;
    log.warn({ err: error, calls: this.#failedCalls }, 'PutRecords calls failed');
    this.#failedCalls = 0;
    this.#lastLogAt = clock.monotonic();
  }
}

function resultOf(shards: Map<string | undefined, ShardResult>, id: string | undefined): ShardResult {
  let result = shards.get(id);
  if (!result) {
    result = { failure: undefined, storedBytes: 0 };
    shards.set(id, result);
  }
  return result;
}

/** Throttling is the one that says most about the shard. */
function worse(a: SinkFailure | undefined, b: SinkFailure): SinkFailure {
  return a === 'throttled' ? a : b;
}
