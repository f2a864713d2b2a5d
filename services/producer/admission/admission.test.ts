import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AdmissionState, refusal, retryAfterSeconds, shardRefusal } from './admission.ts';
import { DrainRate } from './drain-rate.ts';
import { Quota } from './quota.ts';

const LIMITS = { bufferMaxBytes: 1_000, bufferMaxRecords: 10, bufferMaxAgeMs: 2_000 };
const EMPTY: AdmissionState = {
  bytes: 0,
  records: 0,
  drainBytesPerSecond: 100,
  draining: false,
  sinkDown: false,
};

describe('admission', () => {
  it.each<[string, Partial<AdmissionState>, string | undefined, number?]>([
    ['room', {}, undefined],
    ['just room', { bytes: 900 }, undefined],
    ['too many bytes', { bytes: 901 }, 'buffer-full', 10],
    ['too many events', { records: 10, bytes: 20 }, 'buffer-full', 1],
    ['bytes that go at no rate', { bytes: 901, drainBytesPerSecond: 0 }, 'buffer-full', 60],
    ['a stop', { draining: true, sinkDown: true, records: 10 }, 'draining', 1],
    ['a sink that is down and asked already', { sinkDown: true, records: 1 }, 'sink-unavailable', 5],
    ['a sink that is down and has to be asked', { sinkDown: true }, undefined],
  ])('with %s', (_, state, code, retryAfter) => {
    const refused = refusal({ ...EMPTY, ...state }, LIMITS, 100);
    expect([refused?.code, refused?.retryAfterSeconds]).toEqual([code, retryAfter]);
  });

  it('refuses for a shard that is behind, by what makes it so', () => {
    const shard = { bytes: 5_000, drainBytesPerSecond: 1_000, oldestAgeMs: 2_000, throttled: true };
    expect(shardRefusal(shard, LIMITS)).toBeUndefined();
    expect(shardRefusal({ ...shard, oldestAgeMs: 2_001 }, LIMITS)).toMatchObject({
      code: 'throttled',
      retryAfterSeconds: 5,
    });
    expect(shardRefusal({ ...shard, oldestAgeMs: 2_001, throttled: false }, LIMITS)).toMatchObject({
      code: 'buffer-full',
    });
  });

  it('never asks for less than a second nor more than a minute', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 1e12, noNaN: true }), (bytes, drainBytesPerSecond) => {
        const seconds = retryAfterSeconds({ bytes, drainBytesPerSecond });
        expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60).toBe(true);
      }),
    );
  });
});

describe('the drain rate', () => {
  it.each([1, 4, 60])('is what goes, after %i seconds of it', (seconds) => {
    const rate = new DrainRate(0);
    for (let ms = 50; ms <= seconds * 1_000; ms += 50) rate.add(50_000, ms);
    const measured = rate.perSecond(seconds * 1_000);
    expect(measured).toBeGreaterThan(0.95e6);
    expect(measured).toBeLessThan(1.05e6);
  });

  it('falls when nothing goes any more', () => {
    const rate = new DrainRate(0);
    for (let ms = 0; ms <= 10_000; ms += 100) rate.add(1_000, ms);
    expect(rate.perSecond(15_000)).toBeLessThan(5_000);
    expect(rate.perSecond(60_000)).toBeLessThan(10);
  });
});

describe('a quota', () => {
  it('gives a burst at once and then the rate, to each name by itself', () => {
    const quota = new Quota(10, 20);
    for (let i = 0; i < 20; i++) expect(quota.take('a', 1_000)).toBe(0);
    expect(quota.take('a', 1_000)).toBeCloseTo(100, 6);
    expect(quota.take('b', 1_000)).toBe(0);
    expect(quota.take('a', 1_099)).toBeGreaterThan(0);
    expect(quota.take('a', 1_100)).toBe(0);
    expect(quota.take('a', 1_100)).toBeGreaterThan(0);
  });

  it('is none at 0', () => {
    const quota = new Quota(0, 0);
    expect(quota.limited).toBe(false);
    for (let i = 0; i < 1_000; i++) expect(quota.take('a', 0)).toBe(0);
  });

  it('never lets through more than burst and rate, whatever the times', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 300 }), (waits) => {
        const quota = new Quota(20, 5);
        let now = 0;
        let taken = 0;
        for (const wait of waits) {
          now += wait;
          if (quota.take('a', now) === 0) taken++;
        }
        expect(taken).toBeLessThanOrEqual(5 + (now / 1_000) * 20 + 1e-6);
      }),
    );
  });

  it('remembers only so many names', () => {
    const quota = new Quota(1, 1, 100);
    expect(quota.take('first', 0)).toBe(0);
    for (let i = 0; i < 150; i++) quota.take(`n${i}`, 0);
    expect(quota.take('first', 0)).toBe(0);
    expect(quota.take('n149', 0)).toBeGreaterThan(0);
  });
});
