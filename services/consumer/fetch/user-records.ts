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
 * The user records in a Kinesis record: itself, unless it is a KPL aggregate.
 *
 * @param range of the shard; undefined when it isn't known: then nothing is a stray.
 */
export function userRecords(
  record: StreamRecord,
  rules: AggregateRules,
  range: HashKeyRange | undefined,
): StreamRecord[] {
  const read = deaggregate(record.data);
  if (read.kind === 'plain') return [record];
  if (read.kind === 'corrupt') {
    if (rules.corrupt === 'accept') return [record];
    const message = `begins as a KPL aggregate and is none: ${read.problem}`;
    return [{ ...record, refused: { reason: 'aggregate-corrupt', message } }];
  }
  const { shardId, sequenceNumber, arrivedAt } = record;
  const strays = rules.stray === 'quarantine' && range ? new Strays(range) : undefined;
  return read.records.map((user, subSequenceNumber) => {
    const { partitionKey, data } = user;
    if (!isPartitionKey(partitionKey)) {
      // It becomes a source and a key of the state table, which would refuse it and hold the shard up.
      const message = `its partition key has ${partitionKey.length} characters, Kinesis takes 1 to 256`;
      const cut = partitionKey.slice(0, 256).toWellFormed();
      const refused = { reason: 'aggregate-corrupt', message };
      return { shardId, sequenceNumber, subSequenceNumber, partitionKey: cut, data, arrivedAt, refused };
    }
    const taken: StreamRecord = { shardId, sequenceNumber, subSequenceNumber, partitionKey, data, arrivedAt };
    if (!strays?.has(user)) return taken;
    const message = 'its hash key is not one of its shard: put while the stream was resharded';
    return { ...taken, refused: { reason: 'aggregate-stray', message } };
  });
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

/** Where a slice of at least `size` records ends, so that it doesn't cut an aggregate in two. */
export function endOfSlice(records: readonly StreamRecord[], start: number, size: number): number {
  let end = Math.min(start + size, records.length);
  while (end < records.length && records[end]?.sequenceNumber === records[end - 1]?.sequenceNumber) end++;
  return end;
}
