import type { HeldLease } from './leases/held-lease.ts';
import type { StreamRecord } from './record.ts';

/**
 * The processing of one shard, from one start of its reader on. `ShardConsumer` calls `process` slice by slice, `flush`
 * before each checkpoint, and `close` at the end, also after a failure: it then opens another one and feeds it again
 * from the checkpoint. So the order of writes is results → state → checkpoint.
 */
export interface ShardProcessor {
  /**
   * Resolves when the result of each record is stored, or the record is a dead letter.
   *
   * @param records of the shard, in order, each call's after those of the call before.
   * @param signal aborted: the lease is lost or the stop is forced; write no more.
   * @param progress to be called at each attempt of a write.
   * @throws StoppedError when `signal` aborted; any part of the results may be stored then.
   */
  process(records: readonly StreamRecord[], signal: AbortSignal, progress: () => void): Promise<void>;
  /**
   * Resolves when what processing has left in memory only (detector state) is stored, so that a checkpoint at the last
   * processed record may follow. @throws StoppedError when `signal` aborted.
   */
  flush(signal: AbortSignal, progress: () => void): Promise<void>;
  /** Lets go of the memory. Writes nothing. */
  close(): void;
}

/** Opens a processor on a shard; `held.lost` aborts when this worker may write for it no more. */
export type OpenProcessor = (held: HeldLease) => ShardProcessor;
