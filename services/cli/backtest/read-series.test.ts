import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { parseTime, type ReadOptions, readSeries } from './read-series.ts';

/** Reads `text` as a file that comes in pieces of `size` bytes. */
function read(text: string, options: ReadOptions = {}, size = 7) {
  const bytes = Buffer.from(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
    bytes.subarray(n * size, (n + 1) * size),
  );
  return readSeries('f.csv', Readable.from(pieces), options);
}

const T = Date.parse('2026-03-01T10:00:00Z');

describe('readSeries', () => {
  it('reads CSV by its usual columns, as one series', async () => {
    const csv =
      '\ufefftimestamp,value\r\n2026-03-01 10:00:00,1.5\r\n\r\n2026-03-01T10:00:01+00:00,"-2e3"\r\n';
    expect(await read(csv)).toEqual([{ name: 'f.csv', times: [T, T + 1000], amounts: [1.5, -2000] }]);
  });

  it('reads NDJSON, a series for each source, umlauts cut anywhere', async () => {
    const rows = [
      { source: 'öl', amount: 1, timestamp: T },
      { source: 'b', amount: '2', timestamp: T / 1000 },
      { source: 'öl', amount: 3, timestamp: '2026-03-01' },
    ];
    const text = rows.map((row) => JSON.stringify(row)).join('\n');
    for (const size of [1, 3, 1000]) {
      expect(await read(`${text}\n\n`, {}, size)).toEqual([
        { name: 'öl', times: [T, Date.parse('2026-03-01')], amounts: [1, 3] },
        { name: 'b', times: [T], amounts: [2] },
      ]);
    }
  });

  it('takes the columns that it is told', async () => {
    const csv = 'when,who,kw,value\n2026-03-01 10:00,boiler,7,8\n';
    expect(await read(csv, { timestamp: 'when', amount: 'kw', source: 'who' })).toEqual([
      { name: 'boiler', times: [T], amounts: [7] },
    ]);
  });

  it.each([
    [
      'timestamp,value\n2026-03-01 10:00,1\n2026-03-01 10:01,x\n',
      {},
      'f.csv: line 3: value is "x", not a finite number',
    ],
    ['timestamp,value\n2026-03-01 10:00,\n', {}, 'f.csv: line 2: value is "", not a finite number'],
    ['timestamp,value\n2026-03-01 10:00,Infinity\n', {}, 'line 2: value is "Infinity"'],
    ['timestamp,value\n03/01/2026,1\n', {}, 'line 2: timestamp is "03/01/2026", no time (ISO 8601'],
    ['timestamp,value\n2026-13-01,1\n', {}, 'line 2: timestamp is "2026-13-01", no time'],
    ['timestamp,value\n2026-03-01,1,2\n', {}, 'line 2'],
    ['timestamp,value\n2026-03-01,"1\n', {}, 'f.csv: '],
    ['when,value\n2026-03-01,1\n', {}, '--timestamp: when, value'],
    [
      'timestamp,value\n2026-03-01,1\n',
      { amount: 'kw' },
      'there is no column "kw"; there are: timestamp, value',
    ],
    ['timestamp,value\n', {}, 'f.csv: no records'],
    ['', {}, 'f.csv: no records'],
    ['{"timestamp":1,"amount":1}\n{"timestamp":1,"amount":\n', {}, 'f.csv: line 2: no JSON'],
    ['{"timestamp":1,"amount":1}\n[1]\n', {}, 'line 2: [1] is no JSON object'],
    ['{"timestamp":1,"amount":1}\n{"amount":1}\n', {}, 'line 2: timestamp is missing'],
    ['{"timestamp":1,"amount":1,"source":{}}\n', {}, 'source is {}, not text'],
    [`{"timestamp":1,"amount":1,"note":"${'x'.repeat(1_100_000)}"}`, {}, 'longer than 1048576'],
  ])('says what is wrong with %j', async (text, options, message) => {
    await expect(read(text.slice(), options, 65_536)).rejects.toThrow(message);
  });

  it('passes on that a file can not be read', async () => {
    const gone = new Readable({ read: () => gone.destroy(new Error('EISDIR: is a directory')) });
    await expect(readSeries('folder', gone, {})).rejects.toThrow('folder: EISDIR');
  });
});

describe('parseTime', () => {
  it.each([
    ['2026-03-01T10:00:00Z', T],
    ['2026-03-01T12:00:00+02:00', T],
    ['2026-03-01 10:00:00.000000', T],
    [T, T],
    [String(T / 1000), T],
    ['', undefined],
    ['1e999', undefined],
    [9e15, undefined],
    [null, undefined],
    [{}, undefined],
  ])('reads %j', (value, expected) => {
    expect(parseTime(value)).toBe(expected);
  });
});
