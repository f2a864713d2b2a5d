import { describe, expect, it } from 'vitest';
import { createDetector } from './registry.ts';

const MINUTE = 60_000;
const START = Date.parse('2026-03-01T00:00:00Z');

/** Uniform in [0, 1), reproducible (Numerical Recipes' linear congruential generator). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Scores `amounts`, one each `stepMs`; the indices of the anomalies. */
function anomalies(amounts: readonly number[], stepMs = 5 * MINUTE, parameters = {}): number[] {
  const detector = createDetector('adaptive', { adaptive: parameters });
  const state = detector.initial();
  const found: number[] = [];
  amounts.forEach((amount, n) => {
    if (detector.score(state, { source: 's', amount, timestamp: START + n * stepMs }).isAnomaly)
      found.push(n);
  });
  return found;
}

/** A day has 288 records; office hours are ten times as busy as the night. */
function daily(days: number, seed = 1): number[] {
  const random = generator(seed);
  return Array.from({ length: days * 288 }, (_, n) => {
    const hour = (n % 288) / 12;
    return (hour >= 8 && hour < 18 ? 100 : 10) * (1 + 0.1 * (random() - 0.5));
  });
}

describe('adaptive detector', () => {
  it('reports a spike, whatever the scale of the source', () => {
    for (const scale of [1e-6, 1, 1e9, -1]) {
      const random = generator(2);
      const amounts = Array.from({ length: 2_000 }, () => scale * (50 + gauss(random)));
      amounts[1_500] = scale * 75;
      expect(anomalies(amounts), `scale ${scale}`).toContain(1_500);
    }
  });

  it('reports a busy hour in the night, that is nothing unusual in the day', () => {
    const amounts = daily(8);
    const night = 7 * 288 + 3 * 12;
    for (let n = night; n < night + 12; n++) amounts[n] = 100;
    const found = anomalies(amounts);
    expect(found.some((n) => n >= night && n < night + 12)).toBe(true);
    expect(found.filter((n) => n > 2 * 288 && (n < night || n > night + 24))).toEqual([]);
  });

  it('reports a daily pattern that stays away', () => {
    const amounts = daily(8);
    for (let n = 7 * 288; n < 8 * 288; n++) amounts[n] = 10;
    const [first = 0] = anomalies(amounts).filter((n) => n >= 7 * 288);
    expect(first).toBeGreaterThanOrEqual(7 * 288 + 8 * 12 - 3);
    expect(first).toBeLessThan(7 * 288 + 10 * 12);
  });

  it('is not blinded by one huge spike', () => {
    const random = generator(3);
    const amounts = Array.from({ length: 3_000 }, () => 50 + gauss(random));
    amounts[1_500] = 1e12;
    amounts[2_500] = 80;
    expect(anomalies(amounts)).toEqual(expect.arrayContaining([1_500, 2_500]));
  });

  it('reports an incident once, not each of its records', () => {
    const random = generator(4);
    const amounts = Array.from({ length: 3_000 }, (_, n) => gauss(random) + (n >= 2_000 ? 30 : 0));
    const found = anomalies(amounts).filter((n) => n >= 2_000);
    expect(found).toContain(2_000);
    expect(found.length).toBeLessThan(8);
  });

  it('takes a new level for usual after a while', () => {
    const random = generator(5);
    const amounts = Array.from({ length: 6_000 }, (_, n) => gauss(random) + (n >= 2_000 ? 30 : 0));
    expect(anomalies(amounts).filter((n) => n >= 3_500).length).toBeLessThan(8);
  });

  it('says nothing in its warm-up, nor about a source that never changes', () => {
    expect(
      anomalies([...Array.from({ length: 50 }, () => 5), 1e9, ...Array.from({ length: 40 }, () => 5)]),
    ).toEqual([]);
    expect(anomalies(Array.from({ length: 5_000 }, () => 45))).toEqual([]);
    expect(anomalies(Array.from({ length: 5_000 }, () => 0.1 + 0.2))).toEqual([]);
  });

  it('raises few alarms on noise, and fewer at a lower sensitivity', () => {
    const random = generator(6);
    const amounts = Array.from({ length: 50_000 }, () => gauss(random));
    const rate = (sensitivity: number) => anomalies(amounts, MINUTE, { sensitivity }).length / amounts.length;
    expect(rate(0.5)).toBeLessThan(0.002);
    expect(rate(0.2)).toBeLessThan(rate(0.5));
    expect(rate(0.5)).toBeLessThan(rate(0.8));
  });

  it('scores alike at any sensitivity, so that challengers can be compared', () => {
    const [low, high] = [0, 1].map((sensitivity) =>
      createDetector('adaptive', { adaptive: { sensitivity } }),
    );
    const [a, b] = [low!.initial(), high!.initial()];
    for (const [n, amount] of daily(3).entries()) {
      const event = { source: 's', amount, timestamp: START + n * 5 * MINUTE };
      expect(low!.score(a, event).score).toBe(high!.score(b, event).score);
    }
  });

  it('explains an anomaly', () => {
    const detector = createDetector('adaptive');
    const state = detector.initial();
    const random = generator(8);
    const score = (amount: number, n: number) =>
      detector.score(state, { source: 's', amount, timestamp: START + n * 5 * MINUTE });
    for (let n = 0; n < 1_000; n++) score(50 + gauss(random), n);
    const verdict = score(99, 1_000);
    expect(verdict).toMatchObject({ isAnomaly: true, method: 'adaptive' });
    expect(verdict.explanation).toMatch(/amount 99 .*level \((49|50)/);
  });

  it('is quiet in the first day, unless the source is dense', () => {
    const random = generator(9);
    const rising = Array.from(
      { length: 288 },
      (_, n) => 10 - 10 * Math.cos((n / 288) * 2 * Math.PI) + random(),
    );
    rising[200] = 500;
    expect(anomalies(rising)).toEqual([]);
    const dense = Array.from({ length: 5_000 }, () => 50 + gauss(random));
    dense[4_000] = 99;
    expect(anomalies(dense, 1_000)).toContain(4_000);
  });

  it('grows up though its first record came with a clock that is years ahead', () => {
    const detector = createDetector('adaptive');
    const [state, other] = [detector.initial(), detector.initial()];
    detector.score(state, { source: 's', amount: 10, timestamp: START + 30 * 365 * 86_400_000 });
    const scores = daily(12).map((amount, n) => {
      const event = { source: 's', amount, timestamp: START + n * 5 * MINUTE };
      return [detector.score(state, event).score, detector.score(other, event).score] as const;
    });
    const last = scores.slice(-500);
    expect(last.some(([, usual]) => usual > 0.3)).toBe(true);
    for (const [ahead, usual] of last) expect(ahead).toBeCloseTo(usual, 1);
  });

  it.each([{ sensitivity: 2 }, { sensitivity: '0.5' }, { window: 5 }])(
    'refuses the parameters %j',
    (adaptive) => {
      expect(() => createDetector('adaptive', { adaptive })).toThrow(/detector adaptive/);
    },
  );
});
