/** Uniform in [0, 1), as `Math.random`; passed in so that a test can seed it. */
export type Random = () => number;

export interface BackoffOptions {
  /** Upper bound of the first wait, in ms. */
  baseMs: number;
  /** Upper bound of every wait, in ms. */
  maxMs: number;
}

/**
 * Full jitter: a wait drawn uniformly from 0 to `min(maxMs, baseMs × 2^attempt)`.
 * Spreads callers that failed together, at the least total work of the usual schemes.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @param attempt 0 for the first retry.
 * @returns ms to wait.
 */
export function fullJitter(attempt: number, options: BackoffOptions, random: Random): number {
  return random() * Math.min(options.maxMs, options.baseMs * 2 ** Math.min(attempt, 30));
}
