import { Aggregator } from '../../shared/kpl/aggregate.ts';
import { hashKeyOfPartitionKey, toDecimal } from '../shards/shard-map.ts';
import type { SinkRecord } from '../sink/sink.ts';
import {
  type Aggregation,
  MAX_AGGREGATE_BYTES,
  MAX_CALL_BYTES,
  MAX_CALL_RECORDS,
  MAX_SHARD_BYTES,
  type SourceOrder,
} from './policy.ts';

/** Partition key of an aggregate over several sources: the KPL's. Its explicit hash key decides where it goes. */
const AGGREGATE_KEY = 'a';
/** The explicit hash key is no part of the API's byte limit; the key of an aggregate is. */
const AGGREGATE_KEY_BYTES = 1;

/** What the packer must know of an event. */
export interface Packable {
  readonly partitionKey: string;
  readonly data: Uint8Array;
  /** Data and partition key. */
  readonly bytes: number;
}

/** A Kinesis record of a call and the events in it. */
export interface PackedRecord<T> extends SinkRecord {
  /** In their order; more than one is an aggregate, and an event's place is its sub-sequence number. */
  members: T[];
  /** The shard it should go to; undefined when that was not known. */
  shardId: string | undefined;
}

/** What became of an event that should go into the call. */
export type Packing = 'added' | 'key-full' | 'shard-full' | 'call-full';

interface Open<T> {
  aggregator: Aggregator;
  members: T[];
  shardId: string | undefined;
}

/** Fills one PutRecords call within all its limits. */
export class Packer<T extends Packable> {
  readonly #aggregation: Aggregation;
  readonly #strict: boolean;
  readonly #singles: PackedRecord<T>[] = [];
  /** Aggregates that still take events, by source or by shard. */
  readonly #open = new Map<string, Open<T>>();
  readonly #full: Open<T>[] = [];
  #bytes = 0;
  #shardId: string | undefined;
  #shardBytes = 0;

  constructor(aggregation: Aggregation, order: SourceOrder) {
    this.#aggregation = aggregation;
    this.#strict = order === 'strict';
  }

  /** The events that follow go to this shard; undefined: nobody knows where. Each shard comes once. */
  startShard(shardId: string | undefined): void {
    this.#shardId = shardId;
    this.#shardBytes = 0;
  }

  /**
   * @param first no event of its key is in the call yet.
   * @returns anything but `added`: the event was not taken.
   */
  add(event: T, first: boolean): Packing {
    if (this.#aggregation === 'key') return this.#aggregate(event, event.partitionKey, first);
    if (this.#aggregation === 'shard' && this.#shardId !== undefined) {
      return this.#aggregate(event, this.#shardId, first);
    }
    if (this.#strict && !first) return 'key-full';
    const room = this.#room(event.bytes, 1);
    if (room !== 'added') return room;
    this.#count(event.bytes);
    this.#singles.push(single(event, this.#shardId));
    return 'added';
  }

  /** The records of the call. Nothing can be added afterwards. */
  records(): PackedRecord<T>[] {
    const records = this.#singles;
    for (const open of this.#full) records.push(this.#close(open));
    for (const open of this.#open.values()) records.push(this.#close(open));
    return records;
  }

  #aggregate(event: T, group: string, first: boolean): Packing {
    const open = this.#open.get(group);
    if (open) {
      const before = open.aggregator.size;
      const size = open.aggregator.sizeWith(event);
      if (size <= MAX_AGGREGATE_BYTES) {
        const room = this.#room(size - before, 0);
        if (room !== 'added') return room;
        this.#count(size - before);
        open.aggregator.add(event);
        open.members.push(event);
        return 'added';
      }
      // A second record of the same source could be stored where the first was refused.
      if (this.#strict && !first) return 'key-full';
    }
    const aggregator = new Aggregator();
    const bytes = aggregator.sizeWith(event) + AGGREGATE_KEY_BYTES + Buffer.byteLength(event.partitionKey);
    const room = this.#room(bytes, 1);
    if (room !== 'added') return room;
    this.#count(bytes);
    aggregator.add(event);
    if (open) this.#full.push(open);
    this.#open.set(group, { aggregator, members: [event], shardId: this.#shardId });
    return 'added';
  }

  #room(bytes: number, records: number): Packing {
    const inCall = this.#singles.length + this.#full.length + this.#open.size;
    if (inCall + records > MAX_CALL_RECORDS || this.#bytes + bytes > MAX_CALL_BYTES) return 'call-full';
    // One record that is larger by itself has to go all the same.
    const over = this.#shardBytes > 0 && this.#shardBytes + bytes > MAX_SHARD_BYTES;
    return over && this.#shardId !== undefined ? 'shard-full' : 'added';
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#shardBytes += bytes;
  }

  #close({ aggregator, members, shardId }: Open<T>): PackedRecord<T> {
    const [first] = members as [T];
    if (members.length === 1) return single(first, shardId);
    const data = aggregator.encode();
    if (this.#aggregation === 'key') return { partitionKey: first.partitionKey, data, members, shardId };
    const explicitHashKey = toDecimal(hashKeyOfPartitionKey(first.partitionKey));
    return { partitionKey: AGGREGATE_KEY, explicitHashKey, data, members, shardId };
  }
}

function single<T extends Packable>(event: T, shardId: string | undefined): PackedRecord<T> {
  return { partitionKey: event.partitionKey, data: event.data, members: [event], shardId };
}
