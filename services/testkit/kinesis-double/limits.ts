/**
 * Limits of Kinesis Data Streams in provisioned mode; `Infinity` switches one off. Rates are tokens that refill
 * steadily, up to one second's worth. Source: "Quotas and limits" of the developer guide and the API reference, 2026.
 */
export interface KinesisLimits {
  /** Bytes (partition keys and data) a second and shard that are taken. */
  writeBytesPerSecond: number;
  /** Records a second and shard that are taken. */
  writeRecordsPerSecond: number;
  /** GetRecords calls a second and shard. */
  readsPerSecond: number;
  /** Bytes a second and shard that GetRecords gives. */
  readBytesPerSecond: number;
  /** GetShardIterator calls a second and shard. */
  iteratorsPerSecond: number;
  /** ListShards calls a second and stream. */
  listShardsPerSecond: number;
  /** DescribeStreamSummary calls a second, all streams together. */
  describePerSecond: number;
  /** CreateStream, DeleteStream, SplitShard and MergeShards calls a second, each, all streams together. */
  controlPerSecond: number;
  /** Records in one PutRecords call. */
  recordsPerCall: number;
  /** Bytes (partition keys and data) in one PutRecords call. */
  bytesPerCall: number;
  /** Records that one GetRecords call gives at most. */
  readRecordsPerCall: number;
  /** Bytes that one GetRecords call gives at most. */
  readBytesPerCall: number;
  /** Bytes a second that one subscription gives. */
  fanOutBytesPerSecond: number;
  /** SubscribeToShard calls a second of one consumer for one shard. */
  subscribesPerSecond: number;
  /** Registered consumers of one stream. */
  consumersPerStream: number;
  /** UpdateShardCount calls of one stream in any 24 hours. */
  updateShardCountPerDay: number;
  /** By how much one UpdateShardCount call may multiply or divide the open shards. */
  updateShardCountFactor: number;
  /** Open shards of all streams together. */
  openShards: number;
}

const KIB = 1024;
const MIB = KIB * KIB;
export const DAY_MS = 86_400_000;

export const AWS_LIMITS: Readonly<KinesisLimits> = {
  writeBytesPerSecond: MIB,
  writeRecordsPerSecond: 1_000,
  readsPerSecond: 5,
  readBytesPerSecond: 2 * MIB,
  iteratorsPerSecond: 5,
  listShardsPerSecond: 1_000,
  describePerSecond: 20,
  controlPerSecond: 5,
  recordsPerCall: 500,
  bytesPerCall: 10 * MIB,
  readRecordsPerCall: 10_000,
  readBytesPerCall: 10 * MIB,
  fanOutBytesPerSecond: 2 * MIB,
  subscribesPerSecond: 1,
  consumersPerStream: 20,
  updateShardCountPerDay: 10,
  updateShardCountFactor: 2,
  openShards: 1_000,
};

/** `aws`, or none of them; a partial list is AWS's with these changed. */
export type LimitOptions = 'aws' | 'none' | Partial<KinesisLimits>;

export function resolveLimits(options: LimitOptions): KinesisLimits {
  if (options === 'aws') return { ...AWS_LIMITS };
  if (options !== 'none') return { ...AWS_LIMITS, ...options };
  const none = { ...AWS_LIMITS };
  for (const name of Object.keys(none) as (keyof KinesisLimits)[]) none[name] = Number.POSITIVE_INFINITY;
  return none;
}

/** A rate over all time: one second's worth of tokens at most, refilled steadily. Full at first. */
export class Rate {
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#at = now;
  }

  /** True when `take(cost)` is allowed. What costs more than a second's worth is allowed to a rested rate. */
  allows(cost: number, now: number): boolean {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return true;
    this.#refill(now);
    // Sums of fractions miss whole tokens by a hair.
    return this.#tokens + 1e-9 >= Math.min(cost, this.#perSecond);
  }

  /** Takes `cost`, into debt if need be. */
  take(cost: number, now: number): void {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return;
    this.#refill(now);
    // More than a second's worth is paid in full: 10 MB read at 2 MB/s close a shard for five seconds.
    this.#tokens = cost > this.#perSecond ? Math.min(this.#tokens, 0) - cost : this.#tokens - cost;
  }

  /** `allows` and `take`. */
  tryTake(cost: number, now: number): boolean {
    if (!this.allows(cost, now)) return false;
    this.take(cost, now);
    return true;
  }

  #refill(now: number): void {
    if (now <= this.#at) return;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
  }
}

/** The rates of one shard. */
export class ShardRates {
  readonly #writeBytes: Rate;
  readonly #writeRecords: Rate;
  readonly #reads: Rate;
  readonly #readBytes: Rate;
  readonly iterators: Rate;

  constructor(limits: KinesisLimits, now: number) {
    this.#writeBytes = new Rate(limits.writeBytesPerSecond, now);
    this.#writeRecords = new Rate(limits.writeRecordsPerSecond, now);
    this.#reads = new Rate(limits.readsPerSecond, now);
    this.#readBytes = new Rate(limits.readBytesPerSecond, now);
    this.iterators = new Rate(limits.iteratorsPerSecond, now);
  }

  /** Takes a record, unless the shard is over either of its limits. */
  tryWrite(bytes: number, now: number): boolean {
    if (!this.#writeRecords.allows(1, now) || !this.#writeBytes.tryTake(bytes, now)) return false;
    this.#writeRecords.take(1, now);
    return true;
  }

  /** Takes a read call; what it gives is told to `read` afterwards, so a large answer closes the shard for a while. */
  tryRead(now: number): boolean {
    return this.#readBytes.allows(1, now) && this.#reads.tryTake(1, now);
  }

  read(bytes: number, now: number): void {
    this.#readBytes.take(bytes, now);
  }
}

/** A number of events in any window of a length. */
export class RollingBudget {
  readonly #limit: number;
  readonly #windowMs: number;
  #at: number[] = [];

  constructor(limit: number, windowMs: number) {
    this.#limit = limit;
    this.#windowMs = windowMs;
  }

  tryTake(now: number): boolean {
    this.#at = this.#at.filter((time) => time > now - this.#windowMs);
    if (this.#at.length >= this.#limit) return false;
    this.#at.push(now);
    return true;
  }
}
