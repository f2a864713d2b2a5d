import { rangeOf } from './list.ts';
import {
  ACCOUNT,
  decodeToken,
  encodeToken,
  type Input,
  invalidArgument,
  KinesisError,
  oneOf,
  optionalInteger,
  optionalText,
  optionalTime,
  shardRateMessage,
  streamNotFound,
  text,
  throttled,
} from './protocol.ts';
import type { KinesisService } from './service.ts';
import type { KeptRecord, Shard } from './shard.ts';
import type { Stream } from './stream.ts';

export const ITERATOR_TYPES = [
  'AT_SEQUENCE_NUMBER',
  'AFTER_SEQUENCE_NUMBER',
  'TRIM_HORIZON',
  'LATEST',
  'AT_TIMESTAMP',
] as const;
const ITERATOR_MS = 300_000;

export function getShardIterator(service: KinesisService, input: Input): object {
  const stream = service.usableStream(input);
  const shard = service.shard(stream, text(input, 'ShardId', 128));
  const type = oneOf(input, 'ShardIteratorType', ITERATOR_TYPES);
  if (!service.rates(shard).iterators.tryTake(1, service.now))
    throw throttled(shardRateMessage(stream.settings.name, shard.id));
  const index = startIndex(service, stream, shard, type, input);
  return { ShardIterator: iterator(service, stream, shard, index) };
}

export function getRecords(service: KinesisService, input: Input): object {
  const token = text(input, 'ShardIterator', 1_024);
  const limit = optionalInteger(input, 'Limit', 1, 10_000) ?? 10_000;
  const { stream, shard, index } = resolve(service, token);
  const now = service.now;
  stream.trim([shard], now);
  if (!service.rates(shard).tryRead(now)) throw throttled(shardRateMessage(stream.settings.name, shard.id));
  const { readBytesPerCall, readRecordsPerCall } = service.limits;
  const records = take(
    shard,
    Math.max(index, shard.begin),
    Math.min(limit, readRecordsPerCall),
    readBytesPerCall,
  );
  const next = Math.max(index, shard.begin) + records.length;
  const last = records.at(-1);
  const answer = {
    MillisBehindLatest: last && next < shard.end ? Math.max(1, now - last.arrivedAt) : 0,
    Records: records.map(recordOnTheWire),
  };
  service.rates(shard).read(
    records.reduce((sum, { size }) => sum + size, 0),
    now,
  );
  if (shard.closedAt !== undefined && next >= shard.end)
    return { ...answer, ChildShards: childShards(shard) };
  return { ...answer, NextShardIterator: iterator(service, stream, shard, next) };
}

/** The shard that a GetRecords or GetShardIterator input reads; undefined when it is no valid one. */
export function shardRead(operation: string, input: Input): string | undefined {
  if (operation === 'GetShardIterator') return String(input.ShardId);
  const parts = decodeToken(String(input.ShardIterator));
  return parts && String(parts[2]);
}

/** The index at which an iterator or a subscription begins. @throws KinesisError InvalidArgumentException. */
export function startIndex(
  service: KinesisService,
  stream: Stream,
  shard: Shard,
  type: (typeof ITERATOR_TYPES)[number],
  input: Input,
): number {
  switch (type) {
    case 'TRIM_HORIZON':
      return shard.begin;
    case 'LATEST':
      return shard.end;
    case 'AT_TIMESTAMP': {
      const time = optionalTime(input, 'Timestamp');
      if (time === undefined)
        throw invalidArgument(
          'Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.',
        );
      if (time > service.now) {
        throw invalidArgument(
          `The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: ${time}, currentTimestampInMillis: ${service.now}`,
        );
      }
      return shard.indexAtTime(time);
    }
    default: {
      const number = optionalText(input, 'StartingSequenceNumber');
      if (number === undefined) {
        throw invalidArgument(
          `Must either specify (1) ${type} and a starting sequence number or (2) TRIM_HORIZON or LATEST and no starting sequence number.`,
        );
      }
      const index = shard.numbers.recordIndex(number);
      if (index === undefined) {
        throw invalidArgument(
          `StartingSequenceNumber ${number} used in GetShardIterator on shard ${shard.id} in stream ${stream.settings.name} under account ${ACCOUNT} is invalid because it did not come from this stream.`,
        );
      }
      return Math.min(type === 'AT_SEQUENCE_NUMBER' ? index : index + 1, shard.end);
    }
  }
}

function iterator(service: KinesisService, stream: Stream, shard: Shard, index: number): string {
  return encodeToken([
    stream.settings.name,
    stream.createdAt,
    shard.id,
    index,
    service.now,
    service.iteratorEpoch,
  ]);
}

/** @throws KinesisError for a token that is none, is too old, or whose stream or shard is gone. */
function resolve(service: KinesisService, token: string): { stream: Stream; shard: Shard; index: number } {
  const parts = decodeToken(token);
  if (parts?.length !== 6) throw invalidArgument('Invalid ShardIterator.');
  const [name, createdAt, shardId, index, issuedAt, epoch] = parts;
  const stream = service.usableStream({ StreamName: name });
  if (stream.createdAt !== createdAt) throw streamNotFound(String(name));
  const shard = service.shard(stream, String(shardId));
  const age = service.now - Number(issuedAt);
  if (age > ITERATOR_MS || epoch !== service.iteratorEpoch) {
    throw new KinesisError(
      'ExpiredIteratorException',
      `Iterator expired. The iterator was created ${age} ms ago, and iterators live ${ITERATOR_MS} ms.`,
    );
  }
  return { stream, shard, index: Number(index) };
}

export function recordOnTheWire(record: KeptRecord): object {
  return {
    ApproximateArrivalTimestamp: record.arrivedAt / 1000,
    Data: record.data,
    EncryptionType: 'NONE',
    PartitionKey: record.partitionKey,
    SequenceNumber: record.sequenceNumber,
  };
}

/** Records from an index on, at least one if there is one, whatever its size. */
export function take(shard: Shard, from: number, maxRecords: number, maxBytes: number): KeptRecord[] {
  const records: KeptRecord[] = [];
  let bytes = 0;
  for (let record = shard.at(from); record; record = shard.at(from + records.length)) {
    bytes += record.size;
    if (records.length >= maxRecords) break;
    if (records.length > 0 && bytes > maxBytes) break;
    records.push(record);
  }
  return records;
}

export function childShards(shard: Shard): object[] {
  return shard.children.map((child) => ({
    HashKeyRange: rangeOf(child),
    ParentShards: child.parents.map((parent) => parent.id),
    ShardId: child.id,
  }));
}
