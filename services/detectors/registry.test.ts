import { describe, expect, it } from 'vitest';
import { ConfigError } from '../shared/errors.ts';
import { createDetector, parseDetectorParameters } from './registry.ts';

const at = (amount: number) => ({ source: 's', amount, timestamp: 0 });

describe('createDetector', () => {
  it('makes a detector that the parameters define under a name of their own', () => {
    const detector = createDetector('strict', { strict: { detector: 'threshold', threshold: 500 } });
    expect(detector.name).toBe('strict');
    expect(detector.score(undefined, at(501)).isAnomaly).toBe(true);
    expect(
      createDetector('threshold', { strict: { threshold: 5 } }).score(undefined, at(501)).isAnomaly,
    ).toBe(false);
  });

  it.each(['nonesuch', 'toString', '__proto__', ''])('names the detectors there are for %j', (name) => {
    expect(() => createDetector(name, { mine: {} })).toThrow(ConfigError);
    expect(() => createDetector(name, { mine: {} })).toThrow(/there are: threshold.*, mine/);
  });

  it.each([
    [{ threshold: -5 }, /threshold/],
    [{ threshold: '1000' }, /expected number/],
    [{ treshold: 1000 }, /treshold/],
    [{ perSource: { boiler: 0 } }, /perSource\.boiler/],
  ])('says what is wrong with %j', (threshold, message) => {
    expect(() => createDetector('threshold', { threshold })).toThrow(message);
  });
});

describe('parseDetectorParameters', () => {
  it.each(['', 'null', '[]', '5', '{"threshold": 5}', '{"threshold": '])('does not accept %j', (json) => {
    expect(parseDetectorParameters(json)).toBeUndefined();
  });

  it('accepts an object of objects', () => {
    expect(parseDetectorParameters('{"threshold": {"threshold": 5}}')).toEqual({
      threshold: { threshold: 5 },
    });
  });
});
