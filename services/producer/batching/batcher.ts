import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { WeirError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { type AdmissionLimits, refusal, retryAfterSeconds, shardRefusal } from '../admission/admission.ts';
import { Backlog, type ShardBacklog } from '../admission/backlog.ts';
import { NotStoredError, RecordTooLargeError } from '../errors.ts';
import type { ProducerMetrics } from '../metrics.ts';
import type { ShardMap } from '../shards/shard-map.ts';
import type { ShardRouter } from '../shards/shard-router.ts';
import type { Sink, SinkFailure, StoredPosition } from '../sink/sink.ts';
import { shardBackoff } from './backoff.ts';
import { Lanes, type Queued } from './lanes.ts';
import { Packer } from './packer.ts';
import { type Aggregation, type BatchLimits, decide, MAX_RECORD_BYTES, type SourceOrder } from './policy.ts';
import { Caller, type CallResult } from './put-call.ts';

const NOTHING: readonly never[] = [];

/** How often the age of what waits for a shard is looked at: there may be a hundred events in each ms. */
const AGE_LOOK_MS = 5;
/** No call succeeded for this long while at least one failed: the sink is down. */
const SINK_DOWN_AFTER_MS = 1_000;

export interface BatcherLimits extends BatchLimits, AdmissionLimits {
  sourceOrder: SourceOrder;
  aggregation: Aggregation;
  /** Time from acceptance after which an event is not sent again, in ms. */
  eventDeadlineMs: number;
}

export interface BatcherDeps {
  sink: Sink;
  /** Predicts shards; without a map, everything goes as if there were one queue. */
  router: Pick<ShardRouter, 'map' | 'mispredicted' | 'refresh'>;
  limits: BatcherLimits;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: ProducerMetrics;
}

/** Who is told what became of an event; called once for each that was accepted. */
export interface Answerable {
  /** @param index as given with the event. */
  answer(index: number, outcome: StoredPosition | NotStoredError): void;
}

/** An event that was accepted and not yet answered. */
interface Pending extends Queued {
  readonly shard: ShardBacklog;
  readonly owner: Answerable;
  readonly index: number;
  /** Why the last attempt failed. */
  failure: SinkFailure | undefined;
}

/**
 * Gathers events into PutRecords calls and answers each caller with its own shard and sequence number.
 *
 * Only what failed is sent again, until the event's deadline; then its caller is told. A call that timed out may
 * have been stored: the same bytes, `request_id` included, go again, so it counts once downstream. The buffer is
 * bounded by bytes, count and, for each shard, age, and says no before it takes an event.
 */
export class Batcher {
  readonly #deps: BatcherDeps;
  readonly #lanes = new Lanes<Pending>();
  readonly #caller: Caller;
  readonly #backlog: Backlog;
  #map: ShardMap | undefined;
  /** The calls under way, the one that began first in front. */
  readonly #calls = new Set<{ readonly startedAt: number }>();
  #draining = false;
  #notStored = 0;
  #failingSince: number | undefined;
  #pumpQueued = false;
  #lingering = false;
  #onEmpty: (() => void) | undefined;

  constructor(deps: BatcherDeps) {
    this.#deps = deps;
    this.#backlog = new Backlog(() => deps.clock.monotonic());
    this.#caller = new Caller(deps);
  }

  /** Events accepted and not yet answered. */
  get bufferedRecords(): number {
    return this.#backlog.records;
  }
  get bufferedBytes(): number {
    return this.#backlog.bytes;
  }
  get inFlightCalls(): number {
    return this.#calls.size;
  }
  /** How long the call that began first has been under way, in ms; 0 when there is none. */
  get longestCallMs(): number {
    const now = this.#deps.clock.monotonic();
    const [first] = this.#calls;
    return first ? now - first.startedAt : 0;
  }
  get throttledShards(): number {
    return this.#backlog.throttledShards;
  }
  /** How long the event that waits longest has waited for a call, in ms. */
  get oldestAgeMs(): number {
    const now = this.#deps.clock.monotonic();
    return now - (this.#lanes.oldestWaitingAt ?? now);
  }
  /** Events that were accepted and could not be stored, ever; their callers were told. */
  get notStored(): number {
    return this.#notStored;
  }
  /** False while calls fail and none succeeds. */
  get sinkDown(): boolean {
    const since = this.#failingSince;
    return since !== undefined && this.#deps.clock.monotonic() - since > SINK_DOWN_AFTER_MS;
  }

  /** Would anything of `bytes` be taken now? To be asked before a request's body is read. */
  refusal(bytes: number): NotStoredError | undefined {
    const { limits, clock } = this.#deps;
    const state = {
      draining: this.#draining,
      sinkDown: this.sinkDown,
      records: this.#backlog.records,
      bytes: this.#backlog.bytes,
      drainBytesPerSecond: 0,
    };
    const refused = refusal(state, limits, bytes);
    if (refused?.code !== 'buffer-full') return refused;
    // The rate costs an exponential: only for those who are told it.
    const drainBytesPerSecond = this.#backlog.stored.perSecond(clock.monotonic());
    return refusal({ ...state, drainBytesPerSecond }, limits, bytes);
  }

  /**
   * Takes an event, or says why not. Taken: `owner` gets its answer, later.
   *
   * @param partitionKey events of one key reach Kinesis in the order of these calls, as far as
   *   `limits.sourceOrder` says.
   * @returns NotStoredError or RecordTooLargeError when it was not taken.
   */
  offer(partitionKey: string, data: Uint8Array, owner: Answerable, index: number): WeirError | undefined {
    const { limits, clock } = this.#deps;
    const bytes = data.byteLength + Buffer.byteLength(partitionKey);
    if (bytes > MAX_RECORD_BYTES) return new RecordTooLargeError(bytes, MAX_RECORD_BYTES);
    const shardId = this.#map?.shardOf(partitionKey);
    const shard = this.#backlog.shard(shardId);
    const acceptedAt = clock.monotonic();
    const refused = this.refusal(bytes) ?? this.#shardRefusal(shardId, shard, acceptedAt);
    if (refused) return refused;
    this.#backlog.accepted(shard, bytes);
    const deadline = acceptedAt + limits.eventDeadlineMs;
    const event = {
      partitionKey,
      data,
      bytes,
      acceptedAt,
      deadline,
      shard,
      owner,
      index,
      failure: undefined,
    };
    this.#lanes.push(event, shardId);
    this.#queuePump();
    return undefined;
  }

  /** As `offer`, for one event. @throws what `offer` returns, and NotStoredError when Kinesis did not take it in time. */
  submit(partitionKey: string, data: Uint8Array): Promise<StoredPosition> {
    return new Promise((resolve, reject) => {
      const answer = (_: number, outcome: StoredPosition | NotStoredError) =>
        outcome instanceof NotStoredError ? reject(outcome) : resolve(outcome);
      const refused = this.offer(partitionKey, data, { answer }, 0);
      if (refused) reject(refused);
    });
  }

  /**
   * Takes nothing more, sends what is there without waiting for company, and ends when every caller is answered,
   * which the events' deadline bounds.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#pump();
    if (this.#backlog.records === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  #shardRefusal(shardId: string | undefined, shard: ShardBacklog, now: number): NotStoredError | undefined {
    if (now < shard.youngUntil) return undefined;
    const oldestAgeMs = now - (this.#lanes.oldestOfShard(shardId) ?? now);
    if (oldestAgeMs <= this.#deps.limits.bufferMaxAgeMs) {
      shard.youngUntil = now + AGE_LOOK_MS;
      return undefined;
    }
    const drainBytesPerSecond = shard.stored.perSecond(now);
    const throttled = shard.failing === 'throttled';
    return shardRefusal(
      { bytes: shard.bytes, drainBytesPerSecond, oldestAgeMs, throttled },
      this.#deps.limits,
    );
  }

  /** At the end of this turn of the event loop, so that all requests that came in with it go in one call. */
  #queuePump(): void {
    if (this.#pumpQueued) return;
    this.#pumpQueued = true;
    setImmediate(() => {
      this.#pumpQueued = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { limits, router, clock } = this.#deps;
    if (router.map !== this.#map) this.#follow(router.map);
    for (;;) {
      const now = clock.monotonic();
      const decision = decide(
        {
          sendableRecords: this.#lanes.sendableRecords,
          sendableBytes: this.#lanes.sendableBytes,
          fullestShardBytes: this.#lanes.fullestShardBytes,
          oldestAgeMs: now - (this.#lanes.oldestSendableAt ?? now),
          inFlightCalls: this.#calls.size,
          draining: this.#draining,
        },
        limits,
        limits.aggregation,
      );
      if (decision.action === 'wait') this.#linger(decision.ms);
      if (decision.action !== 'send') return;
      void this.#send();
    }
  }

  /** The shards have changed: what waits goes by the new map. */
  #follow(map: ShardMap | undefined): void {
    this.#map = map;
    this.#lanes.regroup((key) => map?.shardOf(key));
    if (map) this.#backlog.prune((id) => map.has(id));
  }

  #linger(ms: number): void {
    if (this.#lingering) return;
    this.#lingering = true;
    void this.#deps.clock.sleep(Math.max(1, ms)).then(() => {
      this.#lingering = false;
      this.#pump();
    });
  }

  /** One PutRecords call and what follows from it. */
  async #send(): Promise<void> {
    const { limits, clock } = this.#deps;
    const packer = new Packer<Pending>(limits.aggregation, limits.sourceOrder);
    const { lanes, expired } = this.#lanes.take(packer, clock.monotonic());
    for (const event of expired) this.#fail(event);
    const records = packer.records();
    const call = { startedAt: clock.monotonic() };
    this.#calls.add(call);
    const result = records.length > 0 ? await this.#caller.put(records) : undefined;
    this.#calls.delete(call);
    const again = result ? this.#settle(result) : new Map<string, Pending[]>();
    const shardOf = (key: string) => this.#map?.shardOf(key);
    for (const lane of lanes) this.#lanes.release(lane, again.get(lane.key) ?? NOTHING, shardOf);
    if (result) this.#report(result);
    this.#queuePump();
  }

  /** Answers who can be answered. @returns the events to send again, by key, in order. */
  #settle({ stored, positions, failed, callFailed }: CallResult<Pending>): Map<string, Pending[]> {
    const now = this.#deps.clock.monotonic();
    if (callFailed === undefined || callFailed === 'throttled') this.#failingSince = undefined;
    else this.#failingSince ??= now;
    for (let i = 0; i < stored.length; i++) {
      this.#answer(stored[i] as Pending, positions[i] as StoredPosition);
    }
    const again = new Map<string, Pending[]>();
    for (const { event, failure } of failed) {
      event.failure = failure;
      if (failure === 'rejected' || event.deadline <= now) {
        this.#fail(event);
        continue;
      }
      const ofKey = again.get(event.partitionKey);
      if (ofKey) ofKey.push(event);
      else again.set(event.partitionKey, [event]);
    }
    return again;
  }

  /** What the call says of its shards; those that did not take all it had for them are left alone for a while. */
  #report({ shards }: CallResult<Pending>): void {
    const { clock, random } = this.#deps;
    for (const [shardId, { failure, storedBytes }] of shards) {
      const shard = this.#backlog.shard(shardId);
      shard.failing = failure;
      if (storedBytes > 0) {
        this.#backlog.drained(shard, storedBytes);
        shard.failedCalls = 0;
      }
      if (failure === undefined) continue;
      shard.failedCalls++;
      this.#lanes.hold(shardId);
      void clock.sleep(shardBackoff(shardId, shard, random)).then(() => {
        this.#lanes.unhold(shardId);
        this.#pump();
      });
    }
  }

  #fail(event: Pending): void {
    this.#notStored++;
    const { stored, bytes, failing } = event.shard;
    const rate = stored.perSecond(this.#deps.clock.monotonic());
    const after = retryAfterSeconds({ bytes, drainBytesPerSecond: rate });
    this.#answer(
      event,
      (event.failure ?? failing) === 'throttled'
        ? new NotStoredError(
            'throttled',
            'Kinesis throttled the shard of this source until the deadline',
            after,
          )
        : new NotStoredError('sink-unavailable', 'Kinesis did not store the event in time', after),
    );
  }

  #answer(event: Pending, outcome: StoredPosition | NotStoredError): void {
    this.#backlog.answered(event.shard, event.bytes);
    event.owner.answer(event.index, outcome);
    if (this.#backlog.records === 0) this.#onEmpty?.();
  }
}
