import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { busiestPod, podsFor, requiredRate, shardsPerPod } from './load.ts';

const OBJECTIVE = { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 };

describe('load', () => {
  it('asks for the arrival with its reserve, the backlog over the catch-up time, and what a restart piles up', () => {
    expect(requiredRate(700, 0, OBJECTIVE, 0)).toBeCloseTo(1_000);
    expect(requiredRate(700, 300, OBJECTIVE, 0)).toBeCloseTo(1_700);
    expect(requiredRate(700, 300, OBJECTIVE, 30)).toBeCloseTo(1_770);
  });

  it('finds the smallest number of pods', () => {
    const load = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(load, fc.double({ min: 1, max: 5_000, noNaN: true }), (loads, podRate) => {
        const carries = (pods: number) => busiestPod(loads, shardsPerPod(loads.length, pods)) <= podRate;
        const pods = podsFor(loads, podRate);
        if (loads.every((one) => one === 0)) expect(pods).toBe(0);
        else {
          expect(carries(pods) || pods === loads.length).toBe(true);
          if (pods > 1) expect(carries(pods - 1)).toBe(false);
        }
      }),
    );
  });
});
