import { hash } from 'node:crypto';
import { type AggregateProblem, Reader } from './reader.ts';

/**
 * The KPL's aggregated record: many user records in one Kinesis record.
 *
 * Layout (amazon-kinesis-producer, aggregation-format.md): the magic bytes, a protobuf message `AggregatedRecord`
 * {1: partition key table, 2: explicit hash key table, 3: records {1: partition key index, 2: explicit hash key
 * index, 3: data, 4: tags}}, and the MD5 of that message.
 */
const MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const DIGEST_BYTES = 16;

/** Tags of the protobuf fields: number << 3 | wire type (0 varint, 2 length-delimited). */
const PARTITION_KEY = 0x0a;
const EXPLICIT_HASH_KEY = 0x12;
const RECORD = 0x1a;
const KEY_INDEX = 0x08;
const HASH_KEY_INDEX = 0x10;
const DATA = 0x1a;

/** One record of a user, as it goes into an aggregate and comes out of it. */
export interface UserRecord {
  partitionKey: string;
  /** Decimal, 0 to 2^128 - 1; wins over the hash of the partition key. */
  explicitHashKey?: string | undefined;
  data: Uint8Array;
}

/**
 * Gathers user records and knows at each moment how large the aggregate would be, so that a batcher can fill one up
 * to a limit exactly.
 */
export class Aggregator {
  readonly #keys = new Map<string, number>();
  readonly #hashKeys = new Map<string, number>();
  readonly #records: Placed[] = [];
  #size = MAGIC.length + DIGEST_BYTES;
  /** As measured last: mostly it is added next. */
  #measured: Placed | undefined;

  get count(): number {
    return this.#records.length;
  }

  /** Bytes of the aggregate as it stands. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the aggregate if `record` were added. */
  sizeWith(record: UserRecord): number {
    this.#measured = this.#place(record);
    return this.#size + this.#measured.growth;
  }

  add(record: UserRecord): void {
    const measured = this.#measured;
    const placed = measured?.record === record ? measured : this.#place(record);
    this.#measured = undefined;
    const { partitionKey, explicitHashKey } = record;
    if (placed.key === this.#keys.size) this.#keys.set(partitionKey, placed.key);
    if (explicitHashKey !== undefined && placed.hashKey === this.#hashKeys.size) {
      this.#hashKeys.set(explicitHashKey, placed.hashKey);
    }
    this.#records.push(placed);
    this.#size += placed.growth;
  }

  /** The Kinesis record's bytes, in one allocation. */
  encode(): Buffer {
    const out = Buffer.allocUnsafe(this.#size);
    let at = MAGIC.copy(out);
    for (const key of this.#keys.keys()) at = writeText(out, at, PARTITION_KEY, key);
    for (const key of this.#hashKeys.keys()) at = writeText(out, at, EXPLICIT_HASH_KEY, key);
    for (const { key, hashKey, size, record } of this.#records) {
      const { data } = record;
      out[at++] = RECORD;
      at = writeVarint(out, at, size);
      out[at++] = KEY_INDEX;
      at = writeVarint(out, at, key);
      if (hashKey !== undefined) {
        out[at++] = HASH_KEY_INDEX;
        at = writeVarint(out, at, hashKey);
      }
      out[at++] = DATA;
      at = writeVarint(out, at, data.byteLength);
      out.set(data, at);
      at += data.byteLength;
    }
    md5(out.subarray(MAGIC.length, at)).copy(out, at);
    return out;
  }

  #place(record: UserRecord): Placed {
    const { partitionKey, explicitHashKey, data } = record;
    const known = this.#keys.get(partitionKey);
    const key = known ?? this.#keys.size;
    let growth = known === undefined ? messageSize(Buffer.byteLength(partitionKey)) : 0;
    let hashKey: number | undefined;
    if (explicitHashKey !== undefined) {
      hashKey = this.#hashKeys.get(explicitHashKey);
      if (hashKey === undefined) growth += messageSize(Buffer.byteLength(explicitHashKey));
      hashKey ??= this.#hashKeys.size;
    }
    const size = recordSize(key, hashKey, data);
    growth += messageSize(size);
    return { record, key, hashKey, size, growth };
  }
}

/** A record and its place in an aggregate. */
interface Placed {
  record: UserRecord;
  /** Indexes of its keys in the tables. */
  key: number;
  hashKey: number | undefined;
  /** Of its protobuf message, in bytes. */
  size: number;
  /** Bytes by which the aggregate grows with it, tables included. */
  growth: number;
}

/** What a Kinesis record turned out to be. */
export type Deaggregated =
  /** `records` are taken apart one by one, each time anew: a megabyte may hold 170,000. */
  | { kind: 'aggregate'; records: Iterable<UserRecord> }
  /** Not an aggregate: its bytes are one user's. */
  | { kind: 'plain' }
  /** It begins like an aggregate and is none. KCL hands such a record on as a plain one. */
  | { kind: 'corrupt'; problem: AggregateProblem | 'digest' };

/**
 * Takes a Kinesis record apart. The data of the user records are views of `bytes`. All of it is checked before the first
 * record is given; nothing in the bytes makes it allocate more than a small multiple of their length.
 */
export function deaggregate(bytes: Uint8Array): Deaggregated {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < MAGIC.length || MAGIC.compare(buffer, 0, MAGIC.length) !== 0) return { kind: 'plain' };
  const end = buffer.length - DIGEST_BYTES;
  if (end < MAGIC.length) return { kind: 'corrupt', problem: 'truncated' };
  const message = buffer.subarray(MAGIC.length, end);
  if (md5(message).compare(buffer, end) !== 0) return { kind: 'corrupt', problem: 'digest' };
  const reader = new Reader(message);
  const tables = readTables(reader);
  if (reader.problem !== undefined) return { kind: 'corrupt', problem: reader.problem };
  return { kind: 'aggregate', records: new UserRecords(message, tables) };
}

interface Tables {
  keys: string[];
  hashKeys: string[];
}

/** Reads the tables, and checks that the records are right and refer to what is in them; `reader.problem` tells. */
function readTables(reader: Reader): Tables {
  const keys: string[] = [];
  const hashKeys: string[] = [];
  const fields = new RecordFields();
  let lastKey = -1;
  let lastHashKey = -1;
  while (reader.more) {
    const tag = reader.varint();
    if (tag === PARTITION_KEY) keys.push(reader.text());
    else if (tag === EXPLICIT_HASH_KEY) hashKeys.push(reader.text());
    else if (tag === RECORD) {
      fields.read(reader);
      if (fields.key < 0) reader.fail('index');
      if (fields.data.start < 0) reader.fail('missing-field');
      if (fields.key > lastKey) lastKey = fields.key;
      if (fields.hashKey > lastHashKey) lastHashKey = fields.hashKey;
    } else reader.skip(tag);
  }
  // The tables may come after the records.
  if (lastKey >= keys.length || lastHashKey >= hashKeys.length) reader.fail('index');
  return { keys, hashKeys };
}

/** The user records of a message that was checked. */
class UserRecords implements Iterable<UserRecord> {
  readonly #message: Buffer;
  readonly #tables: Tables;

  constructor(message: Buffer, tables: Tables) {
    this.#message = message;
    this.#tables = tables;
  }

  *[Symbol.iterator](): Generator<UserRecord> {
    const message = this.#message;
    const { keys, hashKeys } = this.#tables;
    const reader = new Reader(message);
    const fields = new RecordFields();
    while (reader.more) {
      const tag = reader.varint();
      if (tag !== RECORD) {
        reader.skip(tag);
        continue;
      }
      fields.read(reader);
      const partitionKey = keys[fields.key] as string;
      const data = message.subarray(fields.data.start, fields.data.end);
      if (fields.hashKey < 0) yield { partitionKey, data };
      else yield { partitionKey, explicitHashKey: hashKeys[fields.hashKey], data };
    }
  }
}

/** What stands in a record of the message; -1 for what doesn't. One object for all of them. */
class RecordFields {
  key = -1;
  hashKey = -1;
  readonly data = { start: -1, end: -1 };

  read(reader: Reader): void {
    this.key = -1;
    this.hashKey = -1;
    this.data.start = -1;
    const outer = reader.enter(reader.varint());
    while (reader.more) {
      const tag = reader.varint();
      if (tag === KEY_INDEX) this.key = reader.varint();
      else if (tag === HASH_KEY_INDEX) this.hashKey = reader.varint();
      else if (tag === DATA) reader.span(this.data);
      else reader.skip(tag);
    }
    reader.leave(outer);
  }
}

/**
 * Where a record belongs: its explicit hash key, or the MD5 of its partition key, as a number of 128 bits. A user
 * record whose hash key lies outside its shard's range was put there by a producer with an old shard map; KCL drops
 * it there, since the producer sends it again to the right shard.
 */
export function hashKeyOf({ partitionKey, explicitHashKey }: Omit<UserRecord, 'data'>): bigint {
  if (explicitHashKey !== undefined) return BigInt(explicitHashKey);
  return BigInt(`0x${md5(Buffer.from(partitionKey)).toString('hex')}`);
}

function md5(bytes: Uint8Array): Buffer {
  return hash('md5', bytes, 'buffer');
}

function recordSize(key: number, hashKey: number | undefined, data: Uint8Array): number {
  const indexes = 1 + varintSize(key) + (hashKey === undefined ? 0 : 1 + varintSize(hashKey));
  return indexes + messageSize(data.byteLength);
}

/** A length-delimited field of `size` bytes with its tag and its length. */
function messageSize(size: number): number {
  return 1 + varintSize(size) + size;
}

function varintSize(n: number): number {
  return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : n < 0x10000000 ? 4 : 5;
}

function writeVarint(out: Buffer, at: number, n: number): number {
  let rest = n;
  let to = at;
  while (rest >= 0x80) {
    out[to++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[to++] = rest;
  return to;
}

function writeText(out: Buffer, at: number, tag: number, text: string): number {
  out[at] = tag;
  const to = writeVarint(out, at + 1, Buffer.byteLength(text));
  return to + out.write(text, to);
}
