import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDetector } from './registry.ts';

const at = (amount: number) => ({ source: 's', amount, timestamp: 0 });

describe('threshold detector', () => {
  const detector = createDetector('threshold');

  it.each([
    [0, 0, false],
    [500, 0.5, false],
    [1000, 1, false],
    [1000.01, 1.00001, true],
    [1500.5, 1.5005, true],
    [2000, 2, true],
    [1e9, 2, true],
    [-250, -0.25, false],
  ])('scores %d as %d, anomaly %s', (amount, score, isAnomaly) => {
    const verdict = detector.score(undefined, at(amount));
    expect(verdict.score).toBeCloseTo(score, 10);
    expect(verdict).toMatchObject({ isAnomaly, method: 'threshold_based' });
  });

  it('is finite and monotonic on finite amounts, and never above 2', () => {
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(finite, finite, (a, b) => {
        const [low, high] = a <= b ? [a, b] : [b, a];
        const [first, second] = [
          detector.score(undefined, at(low)).score,
          detector.score(undefined, at(high)).score,
        ];
        expect(Number.isFinite(first)).toBe(true);
        expect(first).toBeLessThanOrEqual(second);
        expect(second).toBeLessThanOrEqual(2);
      }),
    );
  });
});

describe('threshold per source', () => {
  const detector = createDetector('threshold', { threshold: { threshold: 1000, perSource: { boiler: 80 } } });

  it('holds for that source only', () => {
    expect(detector.score(undefined, { source: 'boiler', amount: 90, timestamp: 0 })).toMatchObject({
      score: 1.125,
      isAnomaly: true,
    });
    expect(detector.score(undefined, at(90)).isAnomaly).toBe(false);
    expect(detector.score(undefined, { source: 'constructor', amount: 90, timestamp: 0 }).isAnomaly).toBe(
      false,
    );
  });
});
