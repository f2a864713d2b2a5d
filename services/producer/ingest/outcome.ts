import type { HttpProblem } from '../http/problems.ts';
import type { StoredPosition } from '../sink/sink.ts';

/** An event that Kinesis has. */
export interface StoredEvent {
  requestId: string;
  /** The event as it went on the stream: UTF-8 JSON. */
  data: Buffer;
  position: StoredPosition;
}

/** What became of one event. */
export type Outcome = StoredEvent | HttpProblem;

/** Who waits for the outcomes of a request's events. */
export interface OutcomeOwner {
  /** Called exactly once for each event, maybe before `accept` returns. */
  settled(index: number, outcome: Outcome): void;
}
