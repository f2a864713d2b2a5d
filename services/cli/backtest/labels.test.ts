import { describe, expect, it } from 'vitest';
import { parseLabels, windowsOf } from './labels.ts';

const MINUTE = 60_000;
const series = {
  name: 's',
  times: Array.from({ length: 100 }, (_, n) => n * MINUTE),
  amounts: Array.from({ length: 100 }, () => 0),
};
const at = (record: number) => new Date(record * MINUTE).toISOString();

describe('labels', () => {
  it('are windows as given, both ends in them', () => {
    expect(
      windowsOf(series, [
        [at(50), at(59)],
        [at(10), at(10)],
      ]),
    ).toEqual([
      [10, 10],
      [50, 59],
    ]);
  });

  it('get a window when they are times: a tenth of the series, all together', () => {
    expect(windowsOf(series, [at(50)])).toEqual([[45, 55]]);
    expect(windowsOf(series, [at(20), at(80)])).toEqual([
      [18, 22],
      [78, 82],
    ]);
    expect(windowsOf(series, [at(1)])).toEqual([[0, 6]]);
  });

  it('become one where they touch', () => {
    expect(
      windowsOf(series, [
        [at(10), at(20)],
        [at(15), at(30)],
        [at(31), at(32)],
      ]),
    ).toEqual([[10, 32]]);
  });

  it('work on times that go backwards', () => {
    const mixed = { ...series, times: [5, 1, 9, 2, 7].map((n) => n * MINUTE) };
    expect(windowsOf(mixed, [[at(2), at(9)]])).toEqual([[0, 4]]);
  });

  it.each([
    [['soon'], 'neither a time nor'],
    [[[at(5)]], 'neither a time nor'],
    [[[at(5), at(4)]], 'neither a time nor'],
    [[[at(1), at(2), at(3)]], 'neither a time nor'],
    [[[at(500), at(600)]], 'no record of s lies in'],
  ])('refuse %j', (labels, message) => {
    expect(() => windowsOf(series, labels)).toThrow(message);
  });

  it.each([
    ['{', 'no JSON'],
    ['5', 'expected an array'],
    ['{"s": 5}', 'expected an array'],
    ['null', 'expected an array'],
  ])('refuse a file with %j', (text, message) => {
    expect(() => parseLabels('labels.json', text)).toThrow(message);
  });
});
