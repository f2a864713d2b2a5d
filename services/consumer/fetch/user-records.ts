import type { Checkpoint } from '../../shared/kcl/position.ts';
import { deaggregate, hashKeyOf, type UserRecord } from '../../shared/kpl/aggregate.ts';
import type { StreamRecord } from '../record.ts';

/** Kinesis takes 256 characters, of four bytes at most. Inside an aggregate it looks at nothing. */
const MAX_PARTITION_KEY_BYTES = 1_024;

/** The hash keys of a shard, both ends included. */
export interface HashKeyRange {
  starting: bigint;
  ending: bigint;
}

/** What becomes of aggregates that are not as they should be: taken as they are, or made dead letters. */
export interface AggregateRules {
  /** A record that begins like an aggregate and is none. Accepted, it is a plain record, as in KCL. */
  corrupt: 'accept' | 'quarantine';
  /** A user record whose hash key is not its shard's. KCL drops it: docs/adr/0005. */
  stray: 'accept' | 'quarantine';
}

/**
 * The user records in a Kinesis record: itself, unless it is a KPL aggregate. One after another, as they are asked for, since an
 * aggregate of the smallest ones takes 40 times its bytes when it is taken apart.
 *
 * @param range of the shard; undefined when it isn't known: then nothing is a stray.
 */
export function userRecords(
  record: StreamRecord,
  rules: AggregateRules,
  range: HashKeyRange | undefined,
): Iterable<StreamRecord> {
  const read = deaggregate(record.data);
  if (read.kind === 'aggregate') {
    const strays = rules.stray === 'quarantine' && range ? new Strays(range) : undefined;
    return membersOf(record, read.records, strays);
  }
  if (read.kind === 'plain' || rules.corrupt === 'accept') return [record];
  const message = `begins as a KPL aggregate and is none: ${read.problem}`;
  return [{ ...record, refused: { reason: 'aggregate-corrupt', message } }];
}

function* membersOf(
  { shardId, sequenceNumber, arrivedAt }: StreamRecord,
  users: Iterable<UserRecord>,
  strays: Strays | undefined,
): Generator<StreamRecord> {
  let subSequenceNumber = 0;
  for (const user of users) {
    const { partitionKey, data } = user;
    const taken: StreamRecord = { shardId, sequenceNumber, subSequenceNumber, partitionKey, data, arrivedAt };
    if (!isPartitionKey(partitionKey)) {
      // It becomes a source and a key of the state table, which would refuse it and hold the shard up.
      const message = `its partition key has ${partitionKey.length} characters, Kinesis takes 1 to 256`;
      taken.partitionKey = partitionKey.slice(0, 256).toWellFormed();
      taken.refused = { reason: 'aggregate-corrupt', message };
    } else if (strays?.has(user)) {
      const message = 'its hash key is not one of its shard: put while the stream was resharded';
      taken.refused = { reason: 'aggregate-stray', message };
    }
    yield taken;
    subSequenceNumber++;
  }
}

function isPartitionKey(key: string): boolean {
  return key !== '' && (key.length <= 256 || Buffer.byteLength(key) <= MAX_PARTITION_KEY_BYTES);
}

/** Which user records of one aggregate lie outside their shard: many have the same key, and an MD5 is not free. */
class Strays {
  readonly #range: HashKeyRange;
  readonly #known = new Map<string, boolean>();

  constructor(range: HashKeyRange) {
    this.#range = range;
  }

  has(user: UserRecord): boolean {
    const key = user.explicitHashKey ?? ` ${user.partitionKey}`;
    let stray = this.#known.get(key);
    if (stray === undefined) {
      stray = !isHashKey(user.explicitHashKey) || !this.#holds(hashKeyOf(user));
      this.#known.set(key, stray);
    }
    return stray;
  }

  #holds(hashKey: bigint): boolean {
    return hashKey >= this.#range.starting && hashKey <= this.#range.ending;
  }
}

/** What a writer says is an explicit hash key may be any text. */
function isHashKey(text: string | undefined): boolean {
  return text === undefined || /^\d{1,39}$/.test(text);
}

/** True for a record that a checkpoint says is done with. Its own Kinesis record only: later ones are not looked at. */
export function isDone({ sequenceNumber, subSequenceNumber = 0 }: StreamRecord, done: Checkpoint): boolean {
  return sequenceNumber === done.sequenceNumber && subSequenceNumber <= done.subSequenceNumber;
}

/** Bytes of data in a slice, of which items and JSON are made: with one record beyond it. */
const SLICE_BYTES = 1024 * 1024;

/** The next records to be processed at once: `size` at most, or fewer large ones; none when there are no more. */
export function takeSlice(records: Iterator<StreamRecord>, size: number): StreamRecord[] {
  const slice: StreamRecord[] = [];
  let bytes = 0;
  while (slice.length < size && bytes < SLICE_BYTES) {
    const { done, value } = records.next();
    if (done) break;
    slice.push(value);
    bytes += value.data.byteLength;
  }
  return slice;
}
