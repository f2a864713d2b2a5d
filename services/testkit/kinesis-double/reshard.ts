import { divide, evenRanges, type HashKey, type HashRange } from './hash-key.ts';

/** One step of a reshard, by the ranges of open shards. */
export type ReshardStep =
  | { kind: 'split'; range: HashRange; at: HashKey }
  | { kind: 'merge'; left: HashRange; right: HashRange };

/**
 * The splits and merges that lead from the open shards to `target` shards of equal size, as UpdateShardCount with
 * UNIFORM_SCALING does them: first each boundary that is missing is made, then what lies within one target range is
 * merged. A shard that one step makes and a later one closes is the "short-lived shard" of AWS's documentation.
 *
 * @param open the ranges of the open shards, in order, without gap or overlap.
 */
export function planUniformScaling(open: readonly HashRange[], target: number): ReshardStep[] {
  const steps: ReshardStep[] = [];
  const targets = evenRanges(target);
  let ranges = [...open];
  for (const { start } of targets) {
    ranges = ranges.flatMap((range) => {
      if (start <= range.start || start > range.end) return [range];
      steps.push({ kind: 'split', range, at: start });
      return divide(range, start);
    });
  }
  for (const wanted of targets) {
    const parts = ranges.filter((range) => range.start >= wanted.start && range.end <= wanted.end);
    parts.reduce((left, right) => {
      steps.push({ kind: 'merge', left, right });
      return { start: left.start, end: right.end };
    });
  }
  return steps;
}
