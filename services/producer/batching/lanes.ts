import type { Packable, Packer, Packing } from './packer.ts';

/** What a queued event must tell. */
export interface Queued extends Packable {
  /** Monotonic, in ms. */
  readonly acceptedAt: number;
  /** When it is too late to send it, on the same clock. */
  readonly deadline: number;
}

/** What `take` took. */
export interface Taken<T> {
  /** Lanes that are busy until `release`. */
  lanes: Lane<T>[];
  /** Events whose deadline was over: they are in no call. */
  expired: T[];
}

export interface Lane<T> {
  readonly key: string;
  queue: T[];
  /** Of the events in `queue`. */
  bytes: number;
  /** A call holds events of this key. */
  busy: boolean;
  shard: ShardQueue<T>;
}

/** The lanes of one shard, or of all when nobody knows where a key goes. */
interface ShardQueue<T> {
  readonly id: string | undefined;
  /** Lanes that may send, the one that waited longest first: those with failed events go before the others. */
  readonly retrying: Set<Lane<T>>;
  readonly fresh: Set<Lane<T>>;
  records: number;
  bytes: number;
  /** Backing off: nothing is taken. */
  held: boolean;
}

type ShardOf = (key: string) => string | undefined;

/**
 * The queue of events that wait to be sent, in a lane for each partition key, lanes grouped by shard. A key is in one
 * call at a time, and what failed goes back to the front of its lane, so no call carries an event before an earlier one
 * of its key is dealt with. Other keys go on meanwhile, and other shards while one backs off.
 */
export class Lanes<T extends Queued> {
  readonly #lanes = new Map<string, Lane<T>>();
  readonly #shards = new Map<string | undefined, ShardQueue<T>>();

  #sendableRecords = 0;
  #sendableBytes = 0;

  /** Events that could go now. */
  get sendableRecords(): number {
    return this.#sendableRecords;
  }
  get sendableBytes(): number {
    return this.#sendableBytes;
  }

  /** When the event that waits longest to go was accepted; undefined when none could go. */
  get oldestSendableAt(): number | undefined {
    let oldest: number | undefined;
    for (const shard of this.#shards.values()) {
      const at = shard.held ? undefined : oldestOf(shard);
      if (at !== undefined && (oldest === undefined || at < oldest)) oldest = at;
    }
    return oldest;
  }

  /** As `oldestSendableAt`, over those too whose shard backs off. */
  get oldestWaitingAt(): number | undefined {
    let oldest: number | undefined;
    for (const shard of this.#shards.values()) {
      const at = oldestOf(shard);
      if (at !== undefined && (oldest === undefined || at < oldest)) oldest = at;
    }
    return oldest;
  }

  /** Bytes of the shard that has most to send; 0 for events of unknown shards, which are no one's burst. */
  get fullestShardBytes(): number {
    let fullest = 0;
    for (const { id, held, bytes } of this.#shards.values()) {
      if (id !== undefined && !held && bytes > fullest) fullest = bytes;
    }
    return fullest;
  }

  /** When the event of this shard that waits longest was accepted, held or not. */
  oldestOfShard(shardId: string | undefined): number | undefined {
    const shard = this.#shards.get(shardId);
    return shard && oldestOf(shard);
  }

  /** @param shardId where the key goes; it counts for a key that has nothing waiting. */
  push(event: T, shardId: string | undefined): void {
    const { partitionKey: key, bytes } = event;
    const lane = this.#lanes.get(key);
    if (!lane) {
      const shard = this.#shard(shardId);
      const first = { key, queue: [event], bytes, busy: false, shard };
      this.#lanes.set(key, first);
      shard.fresh.add(first);
      this.#count(shard, 1, bytes);
      return;
    }
    lane.queue.push(event);
    lane.bytes += bytes;
    if (lane.busy) return;
    this.#count(lane.shard, 1, bytes);
  }

  /** Moves the events of one call into `packer`. */
  take(packer: Packer<T>, now: number): Taken<T> {
    const taken: Taken<T> = { lanes: [], expired: [] };
    for (const shard of [...this.#shards.values()]) {
      if (shard.held || shard.records === 0) continue;
      packer.startShard(shard.id);
      if (this.#takeShard(shard, packer, now, taken) === 'call-full') return taken;
      // The shards that this call has no room for go first in the next one.
      this.#shards.delete(shard.id);
      this.#shards.set(shard.id, shard);
    }
    return taken;
  }

  /**
   * A lane's events of a call are dealt with.
   *
   * @param again those to be sent again, in the order they were taken.
   * @param shardOf where a key goes by now.
   */
  release(lane: Lane<T>, again: readonly T[], shardOf: ShardOf): void {
    lane.busy = false;
    if (again.length > 0) lane.queue = [...again, ...lane.queue];
    for (const event of again) lane.bytes += event.bytes;
    if (lane.queue.length === 0) {
      this.#lanes.delete(lane.key);
      return;
    }
    this.#offer(lane, shardOf(lane.key), again.length > 0);
  }

  /** Takes nothing of this shard until `unhold`. */
  hold(shardId: string | undefined): void {
    const shard = this.#shards.get(shardId);
    if (!shard || shard.held) return;
    this.#count(shard, -shard.records, -shard.bytes, 'sendable');
    shard.held = true;
  }

  unhold(shardId: string | undefined): void {
    const shard = this.#shards.get(shardId);
    if (!shard?.held) return;
    shard.held = false;
    this.#count(shard, shard.records, shard.bytes, 'sendable');
  }

  /** Keys may go to other shards from now on. */
  regroup(shardOf: ShardOf): void {
    const waiting = [...this.#shards.values()].flatMap((shard) => [...shard.retrying, ...shard.fresh]);
    const retrying = new Set([...this.#shards.values()].flatMap((shard) => [...shard.retrying]));
    this.#shards.clear();
    this.#sendableRecords = 0;
    this.#sendableBytes = 0;
    for (const lane of waiting) this.#offer(lane, shardOf(lane.key), retrying.has(lane));
  }

  #takeShard(shard: ShardQueue<T>, packer: Packer<T>, now: number, taken: Taken<T>): Packing {
    for (const lanes of [shard.retrying, shard.fresh]) {
      for (const lane of lanes) {
        const before = taken.expired.length;
        let packing: Packing = 'added';
        let n = 0;
        let bytes = 0;
        for (const event of lane.queue) {
          if (event.deadline <= now) taken.expired.push(event);
          else packing = packer.add(event, n === taken.expired.length - before);
          if (packing !== 'added') break;
          n++;
          bytes += event.bytes;
        }
        if (n > 0) {
          this.#count(shard, -lane.queue.length, -lane.bytes);
          lanes.delete(lane);
          if (n === lane.queue.length) lane.queue.length = 0;
          else lane.queue.splice(0, n);
          lane.bytes -= bytes;
          lane.busy = true;
          taken.lanes.push(lane);
        }
        if (packing === 'shard-full' || packing === 'call-full') return packing;
      }
    }
    return 'added';
  }

  /** A lane that isn't busy takes its place among those that may send. */
  #offer(lane: Lane<T>, shardId: string | undefined, retrying: boolean): void {
    lane.shard = this.#shard(shardId);
    (retrying ? lane.shard.retrying : lane.shard.fresh).add(lane);
    this.#count(lane.shard, lane.queue.length, lane.bytes);
  }

  #shard(id: string | undefined): ShardQueue<T> {
    let shard = this.#shards.get(id);
    if (!shard) {
      shard = { id, retrying: new Set(), fresh: new Set(), records: 0, bytes: 0, held: false };
      this.#shards.set(id, shard);
    }
    return shard;
  }

  #count(shard: ShardQueue<T>, records: number, bytes: number, what: 'both' | 'sendable' = 'both'): void {
    if (what === 'both') {
      shard.records += records;
      shard.bytes += bytes;
    }
    if (shard.held) return;
    this.#sendableRecords += records;
    this.#sendableBytes += bytes;
  }
}

function oldestOf<T extends Queued>({ retrying, fresh }: ShardQueue<T>): number | undefined {
  const [lane = fresh.values().next().value] = retrying;
  return lane?.queue[0]?.acceptedAt;
}
