import type { Clock } from '../../shared/clock.ts';
import { Consumers } from './consumers.ts';
import { DAY_MS, type KinesisLimits, Rate, RollingBudget, ShardRates } from './limits.ts';
import { type Input, limitExceeded, shardNotFound, streamName, streamNotFound } from './protocol.ts';
import type { Shard } from './shard.ts';
import { Stream } from './stream.ts';
import { Subscriptions } from './subscribe.ts';

export interface ServiceOptions {
  clock: Clock;
  limits: KinesisLimits;
  /** How long a stream stays CREATING, UPDATING or DELETING, in ms. */
  changeMs: number;
  retentionMs: number;
  retainedBytesPerShard: number;
  /** How long after its arrival a record is pushed to subscribers, in ms. */
  pushDelayMs: number;
  /** How long a subscription lives, in ms. */
  subscriptionMs: number;
}

const DEFAULT_RECORD_BYTES = 1024 * 1024;

/** What the operations work on: the streams, and how much of each limit is used up. */
export class KinesisService {
  readonly options: ServiceOptions;
  /** Tokens of an older epoch are expired. */
  iteratorEpoch = 0;
  readonly consumers = new Consumers();
  readonly subscriptions = new Subscriptions();
  readonly #streams = new Map<string, Stream>();
  #shardRates = new WeakMap<Shard, ShardRates>();
  #callRates = new Map<string, Rate>();
  #reshardBudgets = new WeakMap<Stream, RollingBudget>();

  constructor(options: ServiceOptions) {
    this.options = options;
  }

  get now(): number {
    return this.options.clock.now();
  }

  get limits(): KinesisLimits {
    return this.options.limits;
  }

  /** Puts other limits in place; what was used up is forgotten. */
  setLimits(limits: KinesisLimits): void {
    this.options.limits = limits;
    this.#shardRates = new WeakMap();
    this.#callRates = new Map();
    this.#reshardBudgets = new WeakMap();
  }

  create(
    name: string,
    shards: number,
    { maxRecordBytes = DEFAULT_RECORD_BYTES, changeMs = this.options.changeMs } = {},
  ): Stream {
    const { retentionMs, retainedBytesPerShard } = this.options;
    const settings = { name, maxRecordBytes, retentionMs, retainedBytesPerShard };
    const stream = new Stream(settings, shards, this.now, changeMs);
    this.#streams.set(name, stream);
    return stream;
  }

  /** The stream with a name, its changes settled; undefined when there is none or it is deleted. */
  lookUp(name: string): Stream | undefined {
    const stream = this.#streams.get(name);
    stream?.settle(this.now);
    if (!stream?.deleted) return stream;
    this.#streams.delete(name);
    return undefined;
  }

  /** The stream that an input names. @throws KinesisError ResourceNotFoundException. */
  stream(input: Input): Stream {
    const name = streamName(input);
    const stream = this.lookUp(name);
    if (!stream) throw streamNotFound(name);
    return stream;
  }

  /** As `stream`, and it takes and gives records: CREATING and DELETING ones don't. */
  usableStream(input: Input): Stream {
    const stream = this.stream(input);
    if (stream.status !== 'ACTIVE' && stream.status !== 'UPDATING')
      throw streamNotFound(stream.settings.name);
    return stream;
  }

  /** @throws KinesisError ResourceNotFoundException. */
  shard(stream: Stream, id: string): Shard {
    const shard = stream.shard(id, this.now);
    if (!shard) throw shardNotFound(stream.settings.name, id);
    return shard;
  }

  /** Open shards of all streams. */
  get openShards(): number {
    let sum = 0;
    for (const name of [...this.#streams.keys()]) sum += this.lookUp(name)?.open.length ?? 0;
    return sum;
  }

  rates(shard: Shard): ShardRates {
    let rates = this.#shardRates.get(shard);
    if (!rates) {
      rates = new ShardRates(this.limits, this.now);
      this.#shardRates.set(shard, rates);
    }
    return rates;
  }

  /** Counts a call against a rate of calls. @throws KinesisError LimitExceededException. */
  countCall(what: string, perSecond: number): void {
    let rate = this.#callRates.get(what);
    if (!rate) {
      rate = new Rate(perSecond, this.now);
      this.#callRates.set(what, rate);
    }
    if (!rate.tryTake(1, this.now)) throw limitExceeded(`Rate exceeded for ${what}.`);
  }

  /** Counts an UpdateShardCount call; false when the stream has had all that a day allows. */
  countReshard(stream: Stream): boolean {
    let budget = this.#reshardBudgets.get(stream);
    if (!budget) {
      budget = new RollingBudget(this.limits.updateShardCountPerDay, DAY_MS);
      this.#reshardBudgets.set(stream, budget);
    }
    return budget.tryTake(this.now);
  }
}
