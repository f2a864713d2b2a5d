import type { ShardInfo } from '../../shared/list-shards.ts';
import { StoppedError } from '../errors.ts';

export type HashKeyRange = ShardInfo['hashKeyRange'];

/** The hash-key ranges of shards, which the events of a mapping don't tell: listed when an unknown shard comes. */
export class ShardRanges {
  readonly #list: ((signal: AbortSignal) => Promise<ShardInfo[]>) | undefined;
  #known = new Map<string, HashKeyRange>();

  /** @param list all shards; undefined when nothing needs their ranges. */
  constructor(list: ((signal: AbortSignal) => Promise<ShardInfo[]>) | undefined) {
    this.#list = list;
  }

  /**
   * @returns undefined for a shard that is gone, or when ranges aren't needed.
   * @throws StoppedError when `signal` aborted, else what listing failed with.
   */
  async of(shardId: string, signal: AbortSignal): Promise<HashKeyRange | undefined> {
    if (!this.#list) return undefined;
    const known = this.#known.get(shardId);
    if (known) return known;
    if (signal.aborted) throw new StoppedError();
    const shards = await this.#list(signal).catch((error: unknown) => {
      throw signal.aborted ? new StoppedError() : error;
    });
    this.#known = new Map(shards.map((shard) => [shard.shardId, shard.hashKeyRange]));
    return this.#known.get(shardId);
  }
}
