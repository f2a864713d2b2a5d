import { PROBLEMS } from '../../services/producer/http/problems.ts';

/** Outcomes of an event for which we are to blame: what we answered 5xx, and a shard that took no more. */
export const FAILED_OUTCOMES = Object.entries(PROBLEMS)
  .filter(([code, { status }]) => status >= 500 || code === 'throttled')
  .map(([code]) => code);
