import type { Fault } from './faults.ts';
import { type HashKey, hashPartitionKey, parseDecimal } from './hash-key.ts';
import {
  type Input,
  invalidArgument,
  isObject,
  KinesisError,
  optionalText,
  serialization,
  shardRateMessage,
  text,
  throttled,
} from './protocol.ts';
import type { KinesisService } from './service.ts';
import type { Shard } from './shard.ts';
import type { Stream } from './stream.ts';

/** A record that was checked, and where it goes. */
interface Incoming {
  partitionKey: string;
  data: string;
  size: number;
  shard: Shard;
}

/** The record size that no stream setting exceeds. */
const MAX_DATA_BYTES = 10 * 1024 * 1024;
const THROTTLED = 'ProvisionedThroughputExceededException';

export function putRecord(service: KinesisService, input: Input): object {
  const stream = service.usableStream(input);
  const record = incoming(stream, input);
  const { shard } = record;
  const now = service.now;
  if (!service.rates(shard).tryWrite(record.size, now))
    throw throttled(shardRateMessage(stream.settings.name, shard.id));
  const SequenceNumber = shard.append(record.partitionKey, record.data, record.size, now);
  stream.trim([shard], now);
  return { EncryptionType: 'NONE', SequenceNumber, ShardId: shard.id };
}

/**
 * Stores what the shards' limits and `fault` let through. Answers ready JSON: benches must measure their producer.
 *
 * @throws KinesisError when the whole call is refused; nothing is stored then.
 */
export function putRecords(service: KinesisService, input: Input, fault: Fault | undefined): string {
  const stream = service.usableStream(input);
  const records = entries(input).map((entry) => incoming(stream, entry));
  checkCall(service, records);
  const now = service.now;
  const touched = new Set<Shard>();
  let failed = 0;
  const answers = records.map((record, i) => {
    const { shard } = record;
    const failure =
      (fault && planned(fault, i, shard)) ??
      (service.rates(shard).tryWrite(record.size, now) ? undefined : THROTTLED);
    if (failure) {
      failed++;
      const message =
        failure === THROTTLED ? shardRateMessage(stream.settings.name, shard.id) : 'Internal Service Failure';
      return `{"ErrorCode":"${failure}","ErrorMessage":"${message}"}`;
    }
    touched.add(shard);
    const sequenceNumber = shard.append(record.partitionKey, record.data, record.size, now);
    return `{"SequenceNumber":"${sequenceNumber}","ShardId":"${shard.id}"}`;
  });
  stream.trim(touched, now);
  return `{"EncryptionType":"NONE","FailedRecordCount":${failed},"Records":[${answers.join(',')}]}`;
}

/** The shards that a call would write to; none when it is not a valid one. */
export function shardsWritten(service: KinesisService, operation: string, input: Input): string[] {
  try {
    const stream = service.usableStream(input);
    const records = operation === 'PutRecords' ? entries(input) : [input];
    return [...new Set(records.map((record) => incoming(stream, record).shard.id))];
  } catch (error) {
    if (error instanceof KinesisError) return [];
    throw error;
  }
}

function entries(input: Input): Input[] {
  const records = input.Records;
  if (!Array.isArray(records)) throw serialization('Records is not a list');
  if (!records.every(isObject)) throw serialization('a record is not an object');
  return records;
}

function checkCall(service: KinesisService, records: readonly Incoming[]): void {
  const { recordsPerCall, bytesPerCall } = service.limits;
  if (records.length === 0 || records.length > recordsPerCall) {
    const bound =
      records.length === 0 ? 'greater than or equal to 1' : `less than or equal to ${recordsPerCall}`;
    throw new KinesisError(
      'ValidationException',
      `1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length ${bound}`,
    );
  }
  const bytes = records.reduce((sum, { size }) => sum + size, 0);
  if (bytes > bytesPerCall) throw invalidArgument(`Records size exceeds ${bytesPerCall} bytes limit`);
}

function incoming(stream: Stream, entry: Input): Incoming {
  const partitionKey = text(entry, 'PartitionKey');
  const data = entry.Data;
  if (typeof data !== 'string') throw serialization('Data is not a base64 string');
  const bytes = base64Bytes(data);
  const size = bytes + Buffer.byteLength(partitionKey);
  if (bytes > MAX_DATA_BYTES) {
    throw new KinesisError(
      'ValidationException',
      `1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length less than or equal to ${MAX_DATA_BYTES}`,
    );
  }
  if (size > stream.settings.maxRecordBytes) {
    throw invalidArgument(
      `Record of ${size} bytes exceeds the stream's maximum record size of ${stream.settings.maxRecordBytes} bytes.`,
    );
  }
  return { partitionKey, data, size, shard: stream.route(hashKey(entry, partitionKey)) };
}

function hashKey(entry: Input, partitionKey: string): HashKey {
  const explicit = optionalText(entry, 'ExplicitHashKey');
  if (explicit === undefined) return hashPartitionKey(partitionKey);
  const key = parseDecimal(explicit);
  if (key === undefined) {
    throw invalidArgument(
      `Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was ${explicit}`,
    );
  }
  return key;
}

/** Bytes that a base64 string stands for, without decoding it. */
function base64Bytes(data: string): number {
  const padding = data.endsWith('==') ? 2 : data.endsWith('=') ? 1 : 0;
  if (data.length % 4 !== 0) throw serialization('Data is not base64');
  return (data.length / 4) * 3 - padding;
}

/** The error code that a fault gives one record of PutRecords. */
function planned(fault: Fault, index: number, shard: Shard): string | undefined {
  const code = fault.kind === 'partial' ? (fault.code ?? 'throttle') : fault.kind;
  if (code !== 'throttle' && code !== 'internal-failure') return undefined;
  if (fault.shardId !== undefined && fault.shardId !== shard.id) return undefined;
  if (fault.kind === 'partial' && !fault.fails(index)) return undefined;
  return code === 'throttle' ? THROTTLED : 'InternalFailure';
}
