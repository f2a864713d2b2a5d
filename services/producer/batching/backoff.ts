import { fullJitter, type Random } from '../../shared/backoff.ts';
import type { ShardBacklog } from '../admission/backlog.ts';

const BACKOFF = { baseMs: 50, maxMs: 1_000 };
/** Events whose shard is not known wait together, also those of shards that are well: not for long. */
const UNKNOWN_SHARD_MAX_MS = 100;

/**
 * How long a shard is left alone after a call that failed for it. As long as it takes a part of what it is sent,
 * the first wait of the schedule: a shard near its limit is kept busy, one that takes nothing is left in peace.
 *
 * @returns ms.
 */
export function shardBackoff(
  shardId: string | undefined,
  { failedCalls }: Pick<ShardBacklog, 'failedCalls'>,
  random: Random,
): number {
  const maxMs = shardId === undefined ? UNKNOWN_SHARD_MAX_MS : BACKOFF.maxMs;
  return fullJitter(Math.max(0, failedCalls - 1), { ...BACKOFF, maxMs }, random);
}
