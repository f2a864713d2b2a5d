/** What a detector sees of an event. */
interface ScorableEvent {
  source: string;
  /** Finite. */
  amount: number;
  /** When it happened, in ms since the epoch: the only time a detector may use. */
  timestamp: number;
}

export interface Verdict {
  /** How unusual the event is; the scale is the detector's, larger is more unusual. Finite. */
  score: number;
  isAnomaly: boolean;
  /** Stored as `detection_method`. */
  method: string;
}

/**
 * Scores events. Pure and deterministic: no I/O, no clock, no randomness, so that a record read twice is scored
 * alike. The pipeline calls it once for each record, in stream order within a source.
 */
export interface Detector {
  readonly name: string;
  score(event: ScorableEvent): Verdict;
}
