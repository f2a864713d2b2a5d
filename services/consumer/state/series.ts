import { createHash } from 'node:crypto';
import { hashKeyOf } from '../../shared/kpl/aggregate.ts';
import type { StreamRecord } from '../record.ts';

/** DynamoDB takes keys of 2,048 bytes; a partition key of control characters takes six times its length in JSON. */
const MAX_KEY_BYTES = 1_024;

/** The hash keys of a shard, decimal, both ends included; `undefined` when they are not known. */
export type HashKeyRange = { readonly starting: string; readonly ending: string } | undefined;

/**
 * What has a state of its own: records whose order the stream keeps. That is a source, as long as its name is its
 * partition key and the partition key's hash lies in the shard, as our producer has it.
 *
 * Another writer may spread a source over partition keys, route by explicit hash key, or aggregate by an old shard
 * map. Then records of one source come in two shards at once and have no order between them. Each such part has a
 * state of its own, since one state with one watermark would take the records of one shard for done when the other
 * shard is ahead, and lose them. Behind an event source mapping the same holds for the partition keys of one shard
 * (`lane`).
 */
export function seriesOf(
  source: string,
  { partitionKey, shardId, lane }: StreamRecord,
  range: HashKeyRange,
): string {
  const home = isHome(partitionKey, range);
  if (lane !== undefined) return keyOf([source, partitionKey, home ? '' : shardId, lane]);
  if (!home) return keyOf([source, partitionKey, shardId]);
  return source === partitionKey ? source : keyOf([source, partitionKey]);
}

function keyOf(parts: readonly unknown[]): string {
  const key = JSON.stringify(parts);
  if (Buffer.byteLength(key) <= MAX_KEY_BYTES) return key;
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

function isHome(partitionKey: string, range: HashKeyRange): boolean {
  if (!range) return false;
  const hashKey = hashKeyOf({ partitionKey });
  return hashKey >= BigInt(range.starting) && hashKey <= BigInt(range.ending);
}
