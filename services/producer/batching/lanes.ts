import { MAX_CALL_BYTES, MAX_CALL_RECORDS } from './policy.ts';

/** What a queued record must tell. */
export interface Queued {
  readonly partitionKey: string;
  /** What it counts against the call's byte limit: data and partition key. */
  readonly bytes: number;
  /** Monotonic, in ms. */
  readonly acceptedAt: number;
}

interface Lane<T> {
  readonly key: string;
  queue: T[];
  /** Of the records in `queue`. */
  bytes: number;
  /** A call holds records of this key, or failed ones wait for their next attempt. */
  busy: boolean;
  /** What it adds to the sendable totals: nothing while it is busy. */
  offered: { records: number; bytes: number };
}

const NOTHING = { records: 0, bytes: 0 };

/**
 * The queue of records that wait to be sent, in a lane for each partition key. A key is in one call at a time,
 * and what failed goes back to the front of its lane, so no call carries a record before an earlier one of its
 * key is dealt with. Within a call Kinesis may refuse one record and take the next: only with `recordsPerKey` 1
 * can that not swap two records of a key. Other keys go on meanwhile.
 */
export class Lanes<T extends Queued> {
  readonly #recordsPerKey: number;
  readonly #lanes = new Map<string, Lane<T>>();
  /** Lanes that may send, the one that waited longest first: those with failed records go before the others. */
  readonly #retrying = new Set<Lane<T>>();
  readonly #fresh = new Set<Lane<T>>();
  #records = 0;
  #bytes = 0;

  /** @param recordsPerKey how many records of one key a call may carry. */
  constructor(recordsPerKey: number) {
    this.#recordsPerKey = recordsPerKey;
  }

  /** Records that could go now. */
  get sendableRecords(): number {
    return this.#records;
  }
  /** Their bytes; an upper bound for a key that has more than it may send at once. */
  get sendableBytes(): number {
    return this.#bytes;
  }

  /** When the record that is next to go was accepted; undefined when none is. */
  get oldestAcceptedAt(): number | undefined {
    const [lane = this.#fresh.values().next().value] = this.#retrying;
    return lane?.queue[0]?.acceptedAt;
  }

  push(record: T): void {
    let lane = this.#lanes.get(record.partitionKey);
    if (!lane) {
      lane = { key: record.partitionKey, queue: [], bytes: 0, busy: false, offered: NOTHING };
      this.#lanes.set(record.partitionKey, lane);
    }
    lane.queue.push(record);
    lane.bytes += record.bytes;
    if (lane.busy) return;
    if (!this.#retrying.has(lane)) this.#fresh.add(lane);
    this.#offer(lane);
  }

  /** Takes the records of one call, within the limits of the API. Their keys stay busy until `release`. */
  take(): T[] {
    const taken: T[] = [];
    let bytes = 0;
    for (const lanes of [this.#retrying, this.#fresh]) {
      for (const lane of lanes) {
        let n = 0;
        for (const record of lane.queue) {
          const full = taken.length === MAX_CALL_RECORDS || bytes + record.bytes > MAX_CALL_BYTES;
          if (n === this.#recordsPerKey || full) break;
          taken.push(record);
          bytes += record.bytes;
          n++;
        }
        if (n === 0) return taken;
        for (const record of lane.queue.splice(0, n)) lane.bytes -= record.bytes;
        lane.busy = true;
        lanes.delete(lane);
        this.#offer(lane);
      }
    }
    return taken;
  }

  /**
   * A key's records of a call are dealt with.
   *
   * @param again those to be sent again, in the order they were taken.
   */
  release(key: string, again: readonly T[]): void {
    const lane = this.#lanes.get(key);
    if (!lane) return;
    lane.busy = false;
    if (again.length > 0) lane.queue = [...again, ...lane.queue];
    for (const record of again) lane.bytes += record.bytes;
    if (lane.queue.length === 0) {
      this.#lanes.delete(key);
      return;
    }
    (again.length > 0 ? this.#retrying : this.#fresh).add(lane);
    this.#offer(lane);
  }

  /** Brings the sendable totals up to date with what a lane now has to give. */
  #offer(lane: Lane<T>): void {
    const { queue, bytes, busy, offered } = lane;
    this.#records -= offered.records;
    this.#bytes -= offered.bytes;
    if (busy) lane.offered = NOTHING;
    else if (this.#recordsPerKey === 1) lane.offered = { records: 1, bytes: queue[0]?.bytes ?? 0 };
    else lane.offered = { records: Math.min(queue.length, this.#recordsPerKey), bytes };
    this.#records += lane.offered.records;
    this.#bytes += lane.offered.bytes;
  }
}
