import { toDecimal } from './hash-key.ts';
import {
  decodeToken,
  encodeToken,
  type Input,
  invalidArgument,
  isObject,
  KinesisError,
  oneOf,
  optionalInteger,
  optionalText,
  optionalTime,
  serialization,
  streamArn,
  streamNotFound,
} from './protocol.ts';
import type { KinesisService } from './service.ts';
import type { Shard } from './shard.ts';
import type { Stream } from './stream.ts';

const FILTER_TYPES = [
  'AFTER_SHARD_ID',
  'AT_TRIM_HORIZON',
  'FROM_TRIM_HORIZON',
  'AT_LATEST',
  'AT_TIMESTAMP',
  'FROM_TIMESTAMP',
] as const;
const HOUR_MS = 3_600_000;
const TOKEN_MS = 300_000;
const MAX_RESULTS = 1_000;

export function describeStreamSummary(service: KinesisService, input: Input): object {
  service.countCall('DescribeStreamSummary', service.limits.describePerSecond);
  const stream = service.stream(input);
  const { name, retentionMs, maxRecordBytes } = stream.settings;
  return {
    StreamDescriptionSummary: {
      ConsumerCount: service.consumers.of(stream, service.now).length,
      EncryptionType: 'NONE',
      EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
      MaxRecordSizeInKiB: maxRecordBytes / 1024,
      OpenShardCount: stream.open.length,
      RetentionPeriodHours: retentionMs / HOUR_MS,
      StreamARN: streamArn(name),
      StreamCreationTimestamp: stream.createdAt / 1000,
      StreamModeDetails: { StreamMode: 'PROVISIONED' },
      StreamName: name,
      StreamStatus: stream.status,
    },
  };
}

export function listShards(service: KinesisService, input: Input): object {
  const max = Math.min(optionalInteger(input, 'MaxResults', 1, 10_000) ?? MAX_RESULTS, MAX_RESULTS);
  const token = optionalText(input, 'NextToken', 1_048_576);
  const { stream, filter, after } =
    token === undefined ? first(service, input) : following(service, input, token);
  service.countCall(`ListShards of ${stream.settings.name}`, service.limits.listShardsPerSecond);
  const shards = filtered(stream, filter, service.now).filter(
    (shard) => after === undefined || shard.id > after,
  );
  const page = shards.slice(0, max);
  const last = page.at(-1);
  return {
    Shards: page.map(describe),
    ...(last && shards.length > max
      ? { NextToken: encodeToken([stream.settings.name, stream.createdAt, filter, last.id, service.now]) }
      : {}),
  };
}

export function rangeOf(shard: Shard): object {
  return { EndingHashKey: toDecimal(shard.range.end), StartingHashKey: toDecimal(shard.range.start) };
}

interface Listing {
  stream: Stream;
  filter: Input | undefined;
  /** Shard id after which the list goes on. */
  after: string | undefined;
}

function first(service: KinesisService, input: Input): Listing {
  const stream = service.stream(input);
  const filter = input.ShardFilter ?? undefined;
  if (filter !== undefined && !isObject(filter)) throw serialization('ShardFilter is not an object');
  return { stream, filter, after: optionalText(input, 'ExclusiveStartShardId', 128) };
}

function following(service: KinesisService, input: Input, token: string): Listing {
  if (input.StreamName !== undefined || input.ShardFilter !== undefined) {
    throw invalidArgument('NextToken and StreamName cannot be provided together.');
  }
  const parts = decodeToken(token);
  if (parts?.length !== 5) throw invalidArgument('NextToken is invalid.');
  const [name, createdAt, filter, after, issuedAt] = parts;
  if (service.now - Number(issuedAt) > TOKEN_MS) {
    throw new KinesisError('ExpiredNextTokenException', 'The pagination token has expired.');
  }
  const stream = service.stream({ StreamName: name });
  if (stream.createdAt !== createdAt) throw streamNotFound(String(name));
  return { stream, filter: isObject(filter) ? filter : undefined, after: String(after) };
}

function filtered(stream: Stream, filter: Input | undefined, now: number): Shard[] {
  const shards = stream.listed(now);
  if (!filter) return shards;
  const openAt = (time: number) =>
    shards.filter(
      (shard) => shard.createdAt <= time && (shard.closedAt === undefined || shard.closedAt >= time),
    );
  switch (oneOf(filter, 'Type', FILTER_TYPES)) {
    case 'FROM_TRIM_HORIZON':
      return shards;
    case 'AT_LATEST':
      return shards.filter((shard) => shard.closedAt === undefined);
    case 'AT_TRIM_HORIZON':
      return atTrimHorizon(shards);
    case 'AT_TIMESTAMP':
      return openAt(time(filter));
    case 'FROM_TIMESTAMP': {
      const from = time(filter);
      return shards.filter((shard) => shard.closedAt === undefined || shard.closedAt >= from);
    }
    case 'AFTER_SHARD_ID': {
      const id = optionalText(filter, 'ShardId', 128);
      if (id === undefined)
        throw invalidArgument('ShardId must be specified for the filter type AFTER_SHARD_ID.');
      return shards.filter((shard) => shard.id > id);
    }
  }
}

/**
 * What was open at the oldest moment that retention still covers: of each lineage the oldest shard that is listed.
 * Said so, the ranges never overlap, however short-lived a shard was.
 */
function atTrimHorizon(shards: readonly Shard[]): Shard[] {
  const listed = new Set(shards);
  return shards.filter((shard) => !shard.parents.some((parent) => listed.has(parent)));
}

function time(filter: Input): number {
  const value = optionalTime(filter, 'Timestamp');
  if (value === undefined) throw invalidArgument('Timestamp must be specified for this filter type.');
  return value;
}

function describe(shard: Shard): object {
  const [parent, adjacent] = shard.parents;
  return {
    ...(adjacent ? { AdjacentParentShardId: adjacent.id } : {}),
    HashKeyRange: rangeOf(shard),
    ...(parent ? { ParentShardId: parent.id } : {}),
    SequenceNumberRange: {
      ...(shard.endingSequenceNumber === undefined
        ? {}
        : { EndingSequenceNumber: shard.endingSequenceNumber }),
      StartingSequenceNumber: shard.startingSequenceNumber,
    },
    ShardId: shard.id,
  };
}
