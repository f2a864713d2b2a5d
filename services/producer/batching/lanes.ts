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
}

/**
 * The queue of records that wait to be sent, in a lane for each partition key. A key is in one call at a time,
 * and what failed goes back to the front of its lane, so no record is handed to Kinesis before an earlier one
 * of its key was: calls in parallel and partial failures don't reorder a source. Other keys go on meanwhile.
 */
export class Lanes<T extends Queued> {
  readonly #lanes = new Map<string, Lane<T>>();
  /** Lanes that may send, the one that waited longest first. */
  readonly #sendable = new Set<Lane<T>>();
  #records = 0;
  #bytes = 0;

  /** Records and bytes that could go now. */
  get sendableRecords(): number {
    return this.#records;
  }
  get sendableBytes(): number {
    return this.#bytes;
  }

  /** When the record that is next to go was accepted; undefined when none is. */
  get oldestAcceptedAt(): number | undefined {
    const [lane] = this.#sendable;
    return lane?.queue[0]?.acceptedAt;
  }

  push(record: T): void {
    let lane = this.#lanes.get(record.partitionKey);
    if (!lane) {
      lane = { key: record.partitionKey, queue: [], bytes: 0, busy: false };
      this.#lanes.set(record.partitionKey, lane);
    }
    lane.queue.push(record);
    lane.bytes += record.bytes;
    if (lane.busy) return;
    this.#sendable.add(lane);
    this.#records++;
    this.#bytes += record.bytes;
  }

  /** Takes the records of one call, within the limits of the API. Their keys stay busy until `release`. */
  take(): T[] {
    const taken: T[] = [];
    let bytes = 0;
    for (const lane of this.#sendable) {
      let n = 0;
      for (const record of lane.queue) {
        const over =
          taken.length === MAX_CALL_RECORDS || (taken.length > 0 && bytes + record.bytes > MAX_CALL_BYTES);
        if (over) break;
        taken.push(record);
        bytes += record.bytes;
        n++;
      }
      if (n === 0) break;
      this.#records -= lane.queue.length;
      this.#bytes -= lane.bytes;
      for (const record of lane.queue.splice(0, n)) lane.bytes -= record.bytes;
      lane.busy = true;
      this.#sendable.delete(lane);
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
    this.#sendable.add(lane);
    this.#records += lane.queue.length;
    this.#bytes += lane.bytes;
  }
}
