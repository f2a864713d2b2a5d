import type { Clock } from '../../shared/clock.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { Logger } from '../../shared/log.ts';
import type { Tracing } from '../../shared/tracing.ts';
import type { ConsumerMetrics } from '../metrics.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import type { BatchWriter } from '../sinks/batch-writer.ts';
import type { DeadLetterSink } from '../sinks/dead-letters.ts';
import type { StateLayout } from '../state/source-state.ts';
import { type ByteBudget, StateCache } from '../state/state-cache.ts';
import type { StateStore } from '../state/state-store.ts';
import type { Challengers } from './challengers.ts';
import type { Champion } from './champion.ts';
import type { AnyDetector } from './scoring.ts';
import { ShardPipeline } from './shard-pipeline.ts';

export interface PipelineDeps {
  stream: string;
  /** Decides. */
  champion: Champion;
  challengers: Challengers;
  layout: StateLayout;
  /** `all`: an item for each record. `anomalies`: an item for each anomaly, the others count in rollups only. */
  store: 'all' | 'anomalies';
  /** Days until an item expires; 0: never. */
  itemDays: number;
  records: BatchWriter;
  /** Rollups: in the state table. */
  rollups: BatchWriter;
  deadLetters: DeadLetterSink;
  states: StateStore;
  stateBudget: ByteBudget;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
  /** Left out: no spans. */
  tracing?: Tracing | undefined;
}

/** What the pipeline must know of a shard. The range tells which records belong to it: see `seriesOf`. */
export type ShardIdentity = Pick<Lease, 'hashKeyRange'>;

/**
 * decode → validate → dedupe → detect → write, then state, for records in stream order. One for the process; each
 * shard that is held has a processor of its own.
 */
export class Pipeline {
  readonly #deps: PipelineDeps;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
  }

  /**
   * True when something is kept of a source: then the state table is used, a checkpoint costs a write for each
   * source that had records, and a shard's range must be known.
   */
  get stateful(): boolean {
    const { layout } = this.#deps;
    return layout.dedupeWindow > 0 || layout.rollups || layout.detectors.some(({ stateless }) => !stateless);
  }

  /** A processor for a shard whose lease was taken, or whose work starts over from its checkpoint. */
  open({ hashKeyRange }: ShardIdentity): ShardProcessor {
    const { layout, states: store, stateBudget: budget, challengers, log, metrics } = this.#deps;
    const active = (detector: AnyDetector) => challengers.active(detector);
    const states = this.stateful
      ? new StateCache({ store, layout, active, budget, log, metrics })
      : undefined;
    return new ShardPipeline(this.#deps, states, hashKeyRange);
  }
}
