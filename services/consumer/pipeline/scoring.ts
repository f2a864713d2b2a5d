import type { BatchDetector, Detector, Verdict } from '../../detectors/detector.ts';
import type { SourceState } from '../state/source-state.ts';
import { type DecodedRecord, eventTime } from './decode.ts';

/** A detector of either kind: most score one event at a time, some are worth asking for a slice at once. */
export type AnyDetector = Detector | BatchDetector;

/** One record on its way through the detectors. */
export interface Scoring {
  readonly decoded: DecodedRecord;
  /** What detectors see of it. */
  readonly event: { readonly source: string; readonly amount: number; readonly timestamp: number };
  /** The state of its series; `undefined` where none is kept. */
  readonly state: SourceState | undefined;
  /** The champion's; `undefined` when it failed. */
  verdict: Verdict | undefined;
}

export function scoringOf(decoded: DecodedRecord, state: SourceState | undefined): Scoring {
  const { source, amount } = decoded.event;
  return {
    decoded,
    event: { source, amount, timestamp: eventTime(decoded.timestamp) },
    state,
    verdict: undefined,
  };
}

/** Verdicts of a detector that scores in batches. @param index of its state among those of a source. */
export function inBatch(
  detector: BatchDetector,
  index: number,
  slice: readonly Scoring[],
): Promise<Verdict[]> {
  return detector.scoreBatch(
    slice.map(({ state, event }) => ({ state: state?.detectorStates[index], event })),
  );
}
