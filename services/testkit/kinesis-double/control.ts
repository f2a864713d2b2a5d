import { adjoins, mayDivide, parseDecimal, toDecimal } from './hash-key.ts';
import {
  ACCOUNT,
  type Input,
  inUse,
  invalidArgument,
  limitExceeded,
  oneOf,
  optionalInteger,
  streamArn,
  streamName,
  text,
} from './protocol.ts';
import { planUniformScaling } from './reshard.ts';
import type { KinesisService } from './service.ts';
import type { Shard } from './shard.ts';
import type { Stream } from './stream.ts';

const MAX_SHARDS = 100_000;
const RECORD_KIB = { default: 1_024, max: 10_240 };

export function createStream(service: KinesisService, input: Input): void {
  service.countCall('CreateStream', service.limits.controlPerSecond);
  const name = streamName(input);
  const shards = optionalInteger(input, 'ShardCount', 1, MAX_SHARDS) ?? 1;
  const recordKiB =
    optionalInteger(input, 'MaxRecordSizeInKiB', RECORD_KIB.default, RECORD_KIB.max) ?? RECORD_KIB.default;
  if (service.lookUp(name)) throw inUse(`Stream ${name} under account ${ACCOUNT} already exists.`);
  checkShardQuota(service, shards);
  service.create(name, shards, { maxRecordBytes: recordKiB * 1024 });
}

export function deleteStream(service: KinesisService, input: Input): void {
  service.countCall('DeleteStream', service.limits.controlPerSecond);
  service.stream(input).delete(service.now, service.options.changeMs);
}

export function splitShard(service: KinesisService, input: Input): void {
  service.countCall('SplitShard', service.limits.controlPerSecond);
  const stream = service.stream(input);
  const shard = service.shard(stream, text(input, 'ShardToSplit', 128));
  const wanted = text(input, 'NewStartingHashKey');
  const at = parseDecimal(wanted);
  if (at === undefined || !mayDivide(shard.range, at)) {
    throw invalidArgument(
      `NewStartingHashKey ${wanted} used in SplitShard() on shard ${shard.id} in stream ${stream.settings.name} under account ${ACCOUNT} is not both greater than one plus the shard's StartingHashKey ${toDecimal(shard.range.start)} and less than the shard's EndingHashKey ${toDecimal(shard.range.end)}.`,
    );
  }
  checkActive(stream);
  checkOpen(stream, [shard]);
  checkShardQuota(service, 1);
  stream.reshard([{ kind: 'split', range: shard.range, at }], service.now, service.options.changeMs);
}

export function mergeShards(service: KinesisService, input: Input): void {
  service.countCall('MergeShards', service.limits.controlPerSecond);
  const stream = service.stream(input);
  const one = service.shard(stream, text(input, 'ShardToMerge', 128));
  const other = service.shard(stream, text(input, 'AdjacentShardToMerge', 128));
  const [left, right] = one.range.start < other.range.start ? [one, other] : [other, one];
  if (!adjoins(left.range, right.range)) {
    throw invalidArgument(
      `Shards ${one.id} and ${other.id} in stream ${stream.settings.name} under account ${ACCOUNT} are not an adjacent pair of shards eligible for merging.`,
    );
  }
  checkActive(stream);
  checkOpen(stream, [one, other]);
  stream.reshard(
    [{ kind: 'merge', left: left.range, right: right.range }],
    service.now,
    service.options.changeMs,
  );
}

export function updateShardCount(service: KinesisService, input: Input): object {
  const stream = service.stream(input);
  const target = optionalInteger(input, 'TargetShardCount', 1, MAX_SHARDS);
  if (target === undefined) throw invalidArgument('TargetShardCount must be specified.');
  oneOf(input, 'ScalingType', ['UNIFORM_SCALING']);
  checkActive(stream);
  const current = stream.open.length;
  const counts = `Current open shard count: ${current}, Target shard count: ${target}`;
  const { updateShardCountFactor: factor, updateShardCountPerDay: perDay } = service.limits;
  if (target > current * factor) {
    throw limitExceeded(
      `UpdateShardCount cannot scale up over double your current open shard count. ${counts}`,
    );
  }
  if (target < current / factor) {
    throw limitExceeded(
      `UpdateShardCount cannot scale down below half your current open shard count. ${counts}`,
    );
  }
  checkShardQuota(service, target - current);
  if (!service.countReshard(stream)) {
    throw limitExceeded(`UpdateShardCount can be called ${perDay} times in 24 hours for each stream.`);
  }
  const steps = planUniformScaling(
    stream.open.map((shard) => shard.range),
    target,
  );
  stream.reshard(steps, service.now, service.options.changeMs);
  return {
    CurrentShardCount: current,
    StreamARN: streamArn(stream.settings.name),
    StreamName: stream.settings.name,
    TargetShardCount: target,
  };
}

function checkActive(stream: Stream): void {
  if (stream.status === 'ACTIVE') return;
  throw inUse(
    `Stream ${stream.settings.name} under account ${ACCOUNT} not ACTIVE, instead in state ${stream.status}`,
  );
}

function checkOpen(stream: Stream, shards: readonly Shard[]): void {
  for (const shard of shards) {
    if (shard.closedAt === undefined) continue;
    throw invalidArgument(
      `Shard ${shard.id} in stream ${stream.settings.name} under account ${ACCOUNT} has already been merged or split, and thus is not eligible for merging or splitting.`,
    );
  }
}

function checkShardQuota(service: KinesisService, more: number): void {
  if (more <= 0 || service.openShards + more <= service.limits.openShards) return;
  throw limitExceeded(
    `This request would exceed the shard limit for the account ${ACCOUNT} of ${service.limits.openShards}.`,
  );
}
