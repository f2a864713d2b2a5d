import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NAB_PROFILES, nabScore, probation, type ScoredSeries, scaledSigmoid } from './nab-score.ts';

const [STANDARD, LOW_FP, LOW_FN] = NAB_PROFILES as [
  (typeof NAB_PROFILES)[number],
  (typeof NAB_PROFILES)[number],
  (typeof NAB_PROFILES)[number],
];

/** 100 records with one window, records 50 to 59, and scores by index. */
function series(scores: Record<number, number>, windows: ScoredSeries['windows'] = [[50, 59]]): ScoredSeries {
  return { scores: Array.from({ length: 100 }, (_, n) => scores[n] ?? 0), windows };
}

describe('NAB score', () => {
  it('has the sigmoid of the paper', () => {
    expect(scaledSigmoid(0)).toBe(0);
    expect(scaledSigmoid(-1)).toBeCloseTo(0.986614, 6);
    expect(scaledSigmoid(1)).toBeCloseTo(-0.986614, 6);
    expect(scaledSigmoid(3.01)).toBe(-1);
  });

  it('leaves out 15 % of a series, at most 750 records', () => {
    expect([0, 6, 7, 100, 4032, 5000, 9000].map(probation)).toEqual([0, 0, 1, 15, 604, 750, 750]);
  });

  // Worked out by hand: raw from -1 (missed) to 1 (first record of the window), as a share of that range.
  it.each([
    ['the first record of the window', { 50: 1 }, 100],
    ['its last record', { 59: 1 }, 62.412],
    ['nothing', {}, 0],
    ['far before the window', { 20: 1 }, -5.5],
    ['right behind the window', { 60: 1 }, -1.48966],
    ['one and a half windows behind', { 73: 1 }, -5.4954],
    ['before and in it', { 20: 1, 50: 1 }, 94.5],
    ['all over the window: the earliest counts', { 50: 1, 53: 1, 59: 1 }, 100],
    ['the probation only', { 3: 1, 14: 1 }, 0],
  ])('gives %s its worth', (_, scores, expected) => {
    expect(nabScore([series(scores)], STANDARD, 1).score).toBeCloseTo(expected, 2);
  });

  it('weighs by profile', () => {
    const corpus = [series({ 20: 1, 50: 1 })];
    expect(nabScore(corpus, LOW_FP, 1).score).toBeCloseTo(89, 9); // (1 - 0.22 + 1) / 2
    expect(nabScore(corpus, LOW_FN, 1).score).toBeCloseTo(96.333, 3); // (1 - 0.11 + 2) / 3
  });

  it('finds the one threshold for all series that is best', () => {
    const corpus = [series({ 20: 0.3, 50: 0.9 }), series({ 30: 0.5, 52: 0.6 }), series({ 10: 2 }, [])];
    const { score, threshold } = nabScore(corpus, STANDARD);
    expect(threshold).toBe(0.6);
    expect(score).toBe(nabScore(corpus, STANDARD, 0.6).score);
  });

  it('is never better off at another threshold; perfect is 100, silence 0', () => {
    const corpora = fc.array(
      fc.record({
        scores: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 40, maxLength: 120 }),
        windows: fc.constantFrom<[number, number][]>(
          [],
          [[20, 25]],
          [
            [20, 22],
            [30, 38],
          ],
        ),
      }),
      { minLength: 1, maxLength: 4 },
    );
    fc.assert(
      fc.property(corpora, fc.constantFrom(...NAB_PROFILES), (corpus, profile) => {
        fc.pre(corpus.some(({ windows }) => windows.length > 0));
        const best = nabScore(corpus, profile);
        for (let threshold = 0; threshold <= 9; threshold++) {
          expect(nabScore(corpus, profile, threshold).score).toBeLessThanOrEqual(best.score + 1e-9);
        }
        expect(nabScore(corpus, profile, 9).score).toBe(0);
        const perfect = corpus.map(({ scores, windows }) => ({
          scores: scores.map((_, n) => (windows.some(([first]) => first === n) ? 1 : 0)),
          windows,
        }));
        expect(nabScore(perfect, profile).score).toBeCloseTo(100, 9);
      }),
    );
  });

  it('leaves out a window that ends in the probation', () => {
    expect(
      nabScore(
        [
          series({ 50: 1 }, [
            [2, 9],
            [50, 59],
          ]),
        ],
        STANDARD,
        1,
      ).score,
    ).toBeCloseTo(100, 9);
  });

  it('has no score without windows', () => {
    expect(nabScore([series({ 50: 1 }, [])], STANDARD).score).toBeNaN();
    expect(nabScore([series({ 50: 1 }, [])], STANDARD, 1).score).toBeNaN();
    expect(nabScore([], STANDARD).score).toBeNaN();
  });
});
