import { WeirError } from '../shared/errors.ts';

/** Why an event was not stored; each is a problem type of the HTTP API (`http/problems.ts`). */
export type NotStoredCode = 'throttled' | 'sink-unavailable' | 'buffer-full' | 'draining';

/** An event could not be stored for now: the caller may send it again. */
export class NotStoredError extends WeirError {
  declare readonly code: NotStoredCode;
  /** When it is worth to try again. */
  readonly retryAfterSeconds: number;

  constructor(code: NotStoredCode, message: string, retryAfterSeconds: number) {
    super(code, message, { retryable: true });
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** An event makes a record that Kinesis does not take. Never retryable: the bytes won't change. */
export class RecordTooLargeError extends WeirError {
  constructor(bytes: number, limit: number) {
    super('record-too-large', `a record of ${bytes} bytes is over the ${limit} that Kinesis takes`);
  }
}
