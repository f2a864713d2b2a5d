/** A condition as `metav1.Condition` has it. Times are ISO 8601. */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number | undefined;
}

/**
 * The conditions with one set. Its time changes only with its status, so that it says since when; the others keep their
 * place.
 *
 * @param now ms since the epoch.
 */
export function setCondition(
  conditions: readonly Condition[],
  next: Omit<Condition, 'lastTransitionTime'>,
  now: number,
): Condition[] {
  const before = conditions.find(({ type }) => type === next.type);
  const condition = {
    ...next,
    lastTransitionTime:
      before !== undefined && before.status === next.status ? before.lastTransitionTime : isoSeconds(now),
  };
  return before === undefined
    ? [...conditions, condition]
    : conditions.map((known) => (known === before ? condition : known));
}

/** `metav1.Time`: whole seconds. */
export function isoSeconds(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
