import { describe, expect, it } from 'vitest';
import { nextDown, nextUp } from './steps.ts';

describe('steps of UpdateShardCount', () => {
  it.each([
    [4, 5, 100, 5],
    [4, 6, 100, 6],
    [4, 9, 100, 8],
    [2, 3, 100, 3],
    [3, 4, 100, 4],
    [8, 9, 100, 10],
    [8, 9, 9, 9],
    [8, 20, 12, 12],
    [1, 5, 100, 2],
  ])('goes up from %i for %i, at most %i, to %i', (current, needed, max, expected) => {
    expect(nextUp(current, needed, max)).toBe(expected);
  });

  it.each([
    [4, 1, 2],
    [4, 3, 3],
    [8, 5, 6],
    [8, 7, undefined],
    [3, 1, 2],
    [3, 2, 2],
    [2, 1, 1],
    [5, 3, 3],
    [5, 4, undefined],
  ])('goes down from %i to no less than %i: %s', (current, enough, expected) => {
    expect(nextDown(current, enough)).toBe(expected);
  });
});
