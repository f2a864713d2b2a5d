/** What a detector sees of an event. */
export interface ScorableEvent {
  source: string;
  /** Finite. */
  amount: number;
  /** When it happened, in ms since the epoch: the only time a detector may use. May go backwards. */
  timestamp: number;
}

export interface Verdict {
  /** How unusual the event is; the scale is the detector's, larger is more unusual. Finite. */
  score: number;
  isAnomaly: boolean;
  /** Stored as `detection_method`: the detector's name, so that the table says which of several of a kind decided. */
  method: string;
  /** Why, in a few words for a person; only where there is something to say. */
  explanation?: string;
}

/**
 * What a detector remembers of each source, and how it becomes bytes.
 *
 * @typeParam State what it remembers of one source; owned by the caller, changed in place by scoring. A detector
 *   without memory uses `undefined`.
 */
interface StateKeeper<State> {
  /** As `DETECTOR` names it. */
  readonly name: string;
  /** Version of the encoded state; a state of another version is migrated by `decode`, or refused. */
  readonly stateVersion: number;
  /** True when it keeps nothing of a source: the state store is left alone. */
  readonly stateless: boolean;
  /** The state of a source that was never seen. */
  initial(): State;
  /** The state as bytes of its own, at most 1 KiB; exact: `decode(encode(s))` goes on as `s` would. */
  encode(state: State): Uint8Array;
  /**
   * @param version that the bytes were encoded with.
   * @throws DetectorStateError for a version it can't migrate, or damaged bytes.
   */
  decode(bytes: Uint8Array, version: number): State;
}

/**
 * Scores events. Pure and deterministic: no I/O, no clock, no randomness, so that a record read twice from the same
 * state is scored alike. The pipeline calls it once for each record, in stream order within a source, with the
 * state of that source.
 */
export interface Detector<State = unknown> extends StateKeeper<State> {
  /** Scores one event and takes it into `state`. */
  score(state: State, event: ScorableEvent): Verdict;
}

/** One event to score with the state of its source. */
export interface Scoring<State = unknown> {
  state: State;
  event: ScorableEvent;
}

/**
 * A detector whose inference is worth doing for many events at once, and may be asynchronous. All events are taken
 * into their states before it first waits, so the states of a batch may be encoded when it resolves; a state may
 * occur several times in a batch, its events in order. Where a batch ends changes no verdict.
 */
export interface BatchDetector<State = unknown> extends StateKeeper<State> {
  /** @returns the verdicts in the order of `batch`. */
  scoreBatch(batch: readonly Scoring<State>[]): Promise<Verdict[]>;
}
