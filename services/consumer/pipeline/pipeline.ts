import type { Detector } from '../../detectors/detector.ts';
import type { Clock } from '../../shared/clock.ts';
import { errorCode, InvalidEventError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { StreamRecord } from '../record.ts';
import type { BatchWriter } from '../sinks/batch-writer.ts';
import type { DeadLetter, DeadLetterSink } from '../sinks/dead-letters.ts';
import { toItem } from '../sinks/item.ts';
import type { WireItem } from '../sinks/wire.ts';
import { decode, eventTime } from './decode.ts';

export interface PipelineDeps {
  stream: string;
  detector: Detector;
  records: BatchWriter;
  deadLetters: DeadLetterSink;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
}

/** The results of a slice of a shard, before anything is written. */
interface Scored {
  /** Item by `id`. */
  rows: Map<string, { item: WireItem; record: StreamRecord; ingestedAt: number | undefined }>;
  rejected: DeadLetter[];
}

/**
 * decode → validate → detect → write, for records of one shard in stream order. When `process` resolves, each
 * record is stored or is a dead letter, and the caller may checkpoint past it; never before.
 */
export class Pipeline {
  readonly #deps: PipelineDeps;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
  }

  /**
   * @param records of one shard, in order; a few hundred, so that decoding them doesn't hold the event loop.
   * @throws StoppedError when `signal` aborted; then any part of the results may be stored, which a second
   *   processing overwrites with the same.
   */
  async process(records: readonly StreamRecord[], signal: AbortSignal, progress: () => void): Promise<void> {
    const { clock, deadLetters, metrics } = this.#deps;
    const processedAt = new Date(clock.now()).toISOString();
    const { rows, rejected } = this.#score(records, processedAt);

    const refused = await this.#deps.records.write(
      Array.from(rows.values(), ({ item }) => item),
      signal,
      progress,
    );
    for (const { key, error } of refused) {
      const record = rows.get(key)?.record;
      rows.delete(key);
      if (record) rejected.push({ record, reason: 'item-refused', message: error.message });
    }
    const storedAt = clock.now();
    await deadLetters.write(rejected, processedAt, signal, progress);

    metrics.records.inc({ outcome: 'stored' }, records.length - rejected.length);
    metrics.records.inc({ outcome: 'dead_letter' }, rejected.length);
    this.#report(rejected);
    for (const { ingestedAt } of rows.values()) {
      if (ingestedAt !== undefined)
        metrics.endToEndSeconds.observe(Math.max(0, storedAt - ingestedAt) / 1000);
    }
  }

  #score(records: readonly StreamRecord[], processedAt: string): Scored {
    const { stream, detector } = this.#deps;
    const scored: Scored = { rows: new Map(), rejected: [] };
    for (const record of records) {
      try {
        const decoded = decode(record, stream);
        const { source, amount, ingestedAt } = decoded.event;
        const verdict = detector.score(detector.initial(), {
          source,
          amount,
          timestamp: eventTime(decoded.timestamp),
        });
        // The same id again is a producer's retry of a put that had been stored. The later copy wins, as it
        // would if the two were written one after another: what is stored doesn't hang on where batches end.
        scored.rows.set(decoded.id, { item: toItem(decoded, verdict, processedAt), record, ingestedAt });
      } catch (error) {
        scored.rejected.push(this.#reject(record, error));
      }
    }
    return scored;
  }

  #reject(record: StreamRecord, error: unknown): DeadLetter {
    if (error instanceof InvalidEventError) return { record, reason: error.code, message: error.message };
    // A bug of ours or of a detector: the shard goes on, the record waits to be redriven once it is mended.
    const { shardId, sequenceNumber } = record;
    this.#deps.log.error({ err: error, shardId, sequenceNumber }, 'a record could not be processed');
    return { record, reason: 'processing-failed', message: `${errorCode(error)}: ${String(error)}` };
  }

  /** One line a slice, however many records a hostile writer spoils. */
  #report(rejected: readonly DeadLetter[]): void {
    const [first] = rejected;
    if (!first) return;
    const { metrics, log } = this.#deps;
    const reasons: Record<string, number> = {};
    for (const { reason } of rejected) reasons[reason] = (reasons[reason] ?? 0) + 1;
    for (const [reason, count] of Object.entries(reasons)) metrics.deadLetters.inc({ reason }, count);
    const { shardId, sequenceNumber } = first.record;
    log.warn({ shardId, firstSequenceNumber: sequenceNumber, reasons }, 'records became dead letters');
  }
}
