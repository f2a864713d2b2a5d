import { errorCode, InvalidEventError } from '../../shared/errors.ts';
import { sampledTraceparentOf } from '../../shared/tracing.ts';
import { ProcessorFailedError } from '../errors.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import type { DeadLetter } from '../sinks/dead-letters.ts';
import { toItem } from '../sinks/item.ts';
import { toRollupItem } from '../sinks/rollup-item.ts';
import type { WireItem } from '../sinks/wire.ts';
import { type Rollup, rollUp } from '../state/rollup.ts';
import { type HashKeyRange, seriesOf } from '../state/series.ts';
import type { StateCache } from '../state/state-cache.ts';
import { type DecodedRecord, decode } from './decode.ts';
import type { PipelineDeps } from './pipeline.ts';
import { type Scoring, scoringOf } from './scoring.ts';

/** Series names that are remembered; then they are worked out again. Bounds memory, ~10 MB at the longest names. */
const MAX_SERIES_NAMES = 10_000;

/** What a slice came to, before anything is written. */
interface Results {
  /** By `id`: what BatchWriteItem is given may hold each key once. */
  items: Map<string, { item: WireItem; scoring: Scoring }>;
  rollups: WireItem[];
  rejected: DeadLetter[];
  /** Records that are counted in a rollup and have no item. */
  rolledUp: number;
}

/** The pipeline on one shard, from one start of its reader on. */
export class ShardPipeline implements ShardProcessor {
  readonly #deps: PipelineDeps;
  /** `undefined` when nothing is kept of a source: then the state table is left alone. */
  readonly #states: StateCache | undefined;
  readonly #range: HashKeyRange;
  readonly #seriesNames = new Map<string, string>();
  /** A slice was not done with: states in memory may include records whose results are not stored. */
  #failed = false;

  constructor(deps: PipelineDeps, states: StateCache | undefined, range: HashKeyRange) {
    this.#deps = deps;
    this.#states = states;
    this.#range = range;
  }

  async process(records: readonly StreamRecord[], signal: AbortSignal, progress: () => void): Promise<void> {
    if (this.#failed) throw new ProcessorFailedError();
    this.#failed = true;
    await this.#process(records, signal, progress);
    this.#failed = false;
  }

  async flush(signal: AbortSignal, progress: () => void): Promise<void> {
    if (this.#failed) throw new ProcessorFailedError();
    await this.#states?.flush(signal, progress);
  }

  close(): void {
    this.#states?.close();
  }

  async #process(records: readonly StreamRecord[], signal: AbortSignal, progress: () => void): Promise<void> {
    const { clock, deadLetters, metrics } = this.#deps;
    const startedAt = clock.monotonic();
    const processedAt = new Date(clock.now()).toISOString();
    const rejected: DeadLetter[] = [];
    const decoded = this.#decode(records, rejected);
    const admitted = this.#states
      ? await this.#admit(decoded, this.#states, signal, progress)
      : decoded.map((record) => scoringOf(record, undefined));
    await this.#score(admitted, rejected, signal, progress);
    await this.#deps.challengers.score(admitted);
    const results = this.#results(admitted, rejected, processedAt);

    // Results before states: a state that includes a record says that its result is stored.
    await this.#write(results, signal, progress);
    const storedAt = clock.now();
    await deadLetters.write(rejected, processedAt, signal, progress);
    await this.#states?.makeRoom(signal, progress);

    metrics.sliceSeconds.observe((clock.monotonic() - startedAt) / 1000);
    metrics.records.inc({ outcome: 'stored' }, results.items.size);
    metrics.records.inc({ outcome: 'rolled_up' }, results.rolledUp);
    metrics.records.inc({ outcome: 'dead_letter' }, rejected.length);
    this.#report(rejected);
    for (const { scoring } of results.items.values()) {
      const { ingestedAt } = scoring.decoded.event;
      if (ingestedAt !== undefined)
        metrics.endToEndSeconds.observe(Math.max(0, storedAt - ingestedAt) / 1000);
    }
    this.#trace(results, Date.parse(processedAt));
  }

  /** A span for each stored item whose trace is kept: the end of one that began with the request. */
  #trace({ items }: Results, startedAt: number): void {
    const { tracing, stream } = this.#deps;
    if (!tracing) return;
    for (const {
      scoring: { decoded },
    } of items.values()) {
      const parent = sampledTraceparentOf(decoded.event.fields.traceparent);
      if (parent === undefined) continue;
      const attributes = {
        'messaging.system': 'aws_kinesis',
        'messaging.destination.name': stream,
        'messaging.destination.partition.id': decoded.record.shardId,
        'messaging.message.id': decoded.id,
      };
      tracing.start('process event', { kind: 'consumer', parent, startedAt, attributes }).end();
    }
  }

  #decode(records: readonly StreamRecord[], rejected: DeadLetter[]): DecodedRecord[] {
    const decoded: DecodedRecord[] = [];
    for (const record of records) {
      try {
        decoded.push(decode(record, this.#deps.stream));
      } catch (error) {
        rejected.push(this.#reject(record, error));
      }
    }
    return decoded;
  }

  /** Loads the states and takes in each record once: neither what a state includes already, nor a producer's retry. */
  async #admit(
    decoded: readonly DecodedRecord[],
    states: StateCache,
    signal: AbortSignal,
    progress: () => void,
  ): Promise<Scoring[]> {
    const { metrics } = this.#deps;
    const series = decoded.map((record) => this.#seriesOf(record));
    await states.begin(new Set(series), signal, progress);
    const admitted: Scoring[] = [];
    let skipped = 0;
    for (const [i, record] of decoded.entries()) {
      const state = states.get(series[i] as string);
      if (state.includes(record.record)) {
        skipped++;
        continue;
      }
      state.advance(record.record);
      if (state.window && !state.window.admit(record.dedupeId)) {
        metrics.records.inc({ outcome: 'duplicate' });
        continue;
      }
      admitted.push(scoringOf(record, state));
    }
    if (skipped > 0) metrics.records.inc({ outcome: 'included' }, skipped);
    return admitted;
  }

  #seriesOf({ event: { source }, record }: DecodedRecord): string {
    const { partitionKey, lane } = record;
    const name =
      source === partitionKey && lane === undefined ? source : JSON.stringify([partitionKey, source, lane]);
    const known = this.#seriesNames.get(name);
    if (known !== undefined) return known;
    if (this.#seriesNames.size >= MAX_SERIES_NAMES) this.#seriesNames.clear();
    const series = seriesOf(source, record, this.#range);
    this.#seriesNames.set(name, series);
    return series;
  }

  /** The champion's verdicts. A record that it fails on becomes a dead letter. */
  async #score(
    slice: readonly Scoring[],
    rejected: DeadLetter[],
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    const { champion, clock, metrics } = this.#deps;
    const startedAt = clock.monotonic();
    const failed = await champion.score(slice, signal, progress);
    for (const { scoring, error } of failed) {
      rejected.push(this.#reject(scoring.decoded.record, error));
    }
    let anomalies = 0;
    for (const { verdict } of slice) if (verdict?.isAnomaly) anomalies++;
    const labels = { detector: champion.name, role: 'champion' };
    metrics.detectorSeconds.inc(labels, (clock.monotonic() - startedAt) / 1000);
    metrics.verdicts.inc({ ...labels, verdict: 'anomaly' }, anomalies);
    metrics.verdicts.inc({ ...labels, verdict: 'normal' }, slice.length - failed.length - anomalies);
  }

  #results(slice: readonly Scoring[], rejected: DeadLetter[], processedAt: string): Results {
    const all = this.#deps.store === 'all';
    const results: Results = { items: new Map(), rollups: [], rejected, rolledUp: 0 };
    for (const scoring of slice) {
      const { decoded, state, verdict } = scoring;
      if (!verdict) continue;
      if (this.#deps.layout.rollups && state) {
        const before: Rollup | undefined = state.rollup;
        state.rollup = rollUp(before, decoded.record.arrivedAt, decoded.event.amount, verdict);
        if (before && before !== state.rollup) {
          results.rollups.push(toRollupItem(state.series, decoded.event.source, before));
        }
      }
      if (all || verdict.isAnomaly) {
        // Without a window the same id may come twice: the later copy wins, as it would in two calls.
        results.items.set(decoded.id, {
          item: toItem(decoded, verdict, processedAt, this.#deps.itemDays),
          scoring,
        });
      } else results.rolledUp++;
    }
    return results;
  }

  async #write(
    { items, rollups, rejected }: Results,
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    const { records, rollups: rollupWriter } = this.#deps;
    const [refused, refusedRollups] = await Promise.all([
      records.write(
        Array.from(items.values(), ({ item }) => item),
        signal,
        progress,
      ),
      rollupWriter.write(rollups, signal, progress),
    ]);
    for (const { key, error } of refused) {
      const found = items.get(key);
      items.delete(key);
      if (!found) continue;
      rejected.push({
        record: found.scoring.decoded.record,
        reason: 'item-refused',
        errorCode: errorCode(error),
        message: error.message,
      });
    }
    if (refusedRollups[0]) throw refusedRollups[0].error;
  }

  #reject(record: StreamRecord, error: unknown): DeadLetter {
    if (error instanceof InvalidEventError) {
      return { record, reason: error.code, errorCode: error.code, message: error.message };
    }
    // A bug of ours or of a detector: the shard goes on, the record waits to be redriven once it is mended.
    const { shardId, sequenceNumber } = record;
    this.#deps.log.error({ err: error, shardId, sequenceNumber }, 'a record could not be processed');
    return {
      record,
      reason: 'processing-failed',
      errorCode: errorCode(error),
      message: String(error),
    };
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
