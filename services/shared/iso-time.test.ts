import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseTime } from './iso-time.ts';

it('reads every time that JavaScript prints as Date.parse does', () => {
  const dates = fc.date({
    min: new Date('1969-12-01T00:00:00Z'),
    max: new Date('9999-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  });
  fc.assert(
    fc.property(dates, (date) => {
      expect(parseTime(date.toISOString())).toBe(date.getTime());
    }),
    { numRuns: 2_000 },
  );
  for (let day = 0; day < 366 * 8; day++) {
    const text = new Date(Date.UTC(2096, 0, 1) + day * 86_400_000 + 1).toISOString();
    expect(parseTime(text)).toBe(Date.parse(text));
  }
});

it('leaves everything else to Date.parse', () => {
  fc.assert(
    fc.property(fc.nat(23), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), (at, unit) => {
      const text = `${'2026-01-02T03:04:05.678Z'.slice(0, at)}${unit}${'2026-01-02T03:04:05.678Z'.slice(at + 1)}`;
      expect(parseTime(text)).toBe(Date.parse(text));
    }),
    { numRuns: 5_000 },
  );
  for (const text of [
    '',
    '2026-01-02',
    '2026-02-30T03:04:05.678Z',
    '2026-01-02T24:00:00.000Z',
    '2026-13-01T00:00:00.000Z',
  ])
    expect(parseTime(text)).toBe(Date.parse(text));
});
