/**
 * The smallest allowed count that is enough: at most double. Kinesis carries out multiples of 25 % fastest, the others
 * by way of short-lived shards (UpdateShardCount, API reference); but a quarter of the shards too many is too dear.
 */
export function nextUp(current: number, needed: number, max: number): number {
  const highest = Math.min(current * 2, max);
  for (const quarters of [5, 6, 7, 8]) {
    const count = (current * quarters) / 4;
    if (Number.isInteger(count) && count >= needed && count <= highest && count - needed < current / 4)
      return count;
  }
  return Math.min(highest, needed > highest ? highest : Math.max(needed, current + 1));
}

/** The deepest allowed count that is still enough: at least half; `undefined` when no step of 25 % is possible. */
export function nextDown(current: number, enough: number): number | undefined {
  for (const quarters of [2, 3]) {
    const count = (current * quarters) / 4;
    if (Number.isInteger(count) && count >= enough) return count;
  }
  const odd = Math.max(enough, Math.ceil(current / 2));
  return odd <= current * 0.75 ? odd : undefined;
}
