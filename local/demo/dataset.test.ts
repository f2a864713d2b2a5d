import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DatasetError, loadFile, loadFlights } from './dataset.ts';

const folder = mkdtempSync(join(tmpdir(), 'dataset-'));
afterAll(() => rmSync(folder, { recursive: true }));

const FIELDS = { source: 'source', amount: 'amount', timestamp: 'timestamp' };
function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('the flights', () => {
  it('are 20,000 events in time order', () => {
    const flights = loadFlights();
    expect(flights).toHaveLength(20_000);
    expect(flights[0]).toEqual({
      source: expect.stringMatching(/^[A-Z]{3}$/),
      amount: expect.any(Number),
      timestamp: expect.stringMatching(/^2001-01-01T\d\d:\d\d:00Z$/),
      distance: expect.any(Number),
      destination: expect.any(String),
    });
    for (const [i, { timestamp }] of flights.entries()) {
      expect(Date.parse(timestamp!)).toBeGreaterThanOrEqual(
        Date.parse(flights[i - 1]?.timestamp ?? timestamp!),
      );
    }
  });
});

describe('a file', () => {
  const expected = [
    { source: 'a', amount: 1, timestamp: '2026-01-01T00:00:00.000Z', more: 'x' },
    { source: 'b', amount: 2.5, timestamp: '2026-01-02T00:00:00.000Z', more: 'y' },
  ];

  it.each([
    ['x.csv', '\ufeffsource,amount,timestamp,more\nb,2.5,2026-01-02,y\n\na,1,2026-01-01,x\n'],
    [
      'x.json',
      '[{"source":"b","amount":"2.5","timestamp":"2026-01-02","more":"y"},{"source":"a","amount":1,"timestamp":"2026-01-01","more":"x"}]',
    ],
    [
      'x.ndjson',
      '{"source":"b","amount":2.5,"timestamp":1767312000000,"more":"y"}\n\n{"source":"a","amount":1,"timestamp":"2026-01-01","more":"x"}\n',
    ],
  ])('is read as %s and put in time order', (name, text) => {
    expect(loadFile(file(name, text), FIELDS)).toEqual(expected);
  });

  it('stays in its order without timestamps, and takes other field names', () => {
    const path = file('n.ndjson', '{"shop":7,"total":"3"}\n{"shop":"a","total":1}');
    const events = loadFile(path, { source: 'shop', amount: 'total', timestamp: 'at' });
    expect(events).toEqual([
      { source: '7', amount: 3 },
      { source: 'a', amount: 1 },
    ]);
  });

  it.each([
    ['bad.ndjson', '{"source":"a","amount":1}\n{"source":', /bad\.ndjson:2: is not JSON/],
    [
      'amount.ndjson',
      '{"source":"a","amount":"much"}',
      /amount\.ndjson:1: field "amount": expected a number, found "much"/,
    ],
    [
      'none.ndjson',
      '{"source":"a"}',
      /field "amount": expected a number, found nothing \(choose the field with --amount-field\)/,
    ],
    ['source.ndjson', '{"source":{},"amount":1}', /field "source": expected a name/],
    [
      'time.ndjson',
      '{"source":"a","amount":1,"timestamp":"soon"}',
      /field "timestamp": expected a date, found "soon"/,
    ],
    ['array.ndjson', '[1]', /expected an object/],
    ['object.json', '{"source":"a"}', /expected an array of objects/],
    ['empty.json', '[]', /holds no events/],
    ['ragged.csv', 'source,amount\na,1,2\n', /is not CSV/],
    ['row.csv', 'source,amount\na,1\nb,\n', /row 2: field "amount"/],
  ])('is refused with a place: %s', (name, text, message) => {
    const load = () => loadFile(file(name, text), FIELDS);
    expect(load).toThrow(DatasetError);
    expect(load).toThrow(message);
  });
});
