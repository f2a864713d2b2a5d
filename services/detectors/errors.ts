import { WeirError } from '../shared/errors.ts';

/** The encoded state of a detector is damaged, or of a version that can't be migrated. Never retryable. */
export class DetectorStateError extends WeirError {
  constructor(detector: string, problem: string) {
    super('detector-state-invalid', `state of detector ${detector}: ${problem}`);
  }
}
