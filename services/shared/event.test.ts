import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidEventError } from './errors.ts';
import {
  DEFAULT_SOURCE,
  enrichEvent,
  eventSchema,
  MAX_SOURCE_BYTES,
  parseEvent,
  parseStreamEvent,
  STREAM_FIELDS,
} from './event.ts';
import { MAX_JSON_DEPTH, MAX_JSON_PARTS } from './json.ts';
import { decodeRecord, encodeRecord } from './record.ts';

const ENRICHMENT = { ingestion_timestamp: '2026-01-01T00:00:00.000Z', source_ip: '::1', request_id: 'id-1' };

function problemsOf(work: () => unknown): { code: string; pointers: string[] } {
  try {
    work();
  } catch (error) {
    if (error instanceof InvalidEventError) {
      return { code: error.code, pointers: error.problems.map(({ pointer }) => pointer) };
    }
    throw error;
  }
  throw new Error('nothing was refused');
}

/** Events as clients may send them: any JSON in the other fields. */
const events = fc
  .record({
    source: fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
    amount: fc.double({ noNaN: true, min: -1e12, max: 1e12 }).map((n) => (Math.abs(n) < 1e-9 ? 0 : n)),
    timestamp: fc
      .date({
        min: new Date('1970-01-01T00:00:00Z'),
        max: new Date('2100-01-01T00:00:00Z'),
        noInvalidDate: true,
      })
      .map((date) => date.toISOString()),
    rest: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.jsonValue({ maxDepth: 4 })),
  })
  .map(({ rest, ...event }) => ({ ...rest, ...event }));

describe('the event contract', () => {
  it('gives back from the stream what was posted, whatever the other fields hold', () => {
    fc.assert(
      fc.property(events, (event) => {
        let parsed: ReturnType<typeof parseEvent>;
        try {
          parsed = parseEvent(JSON.parse(JSON.stringify(event)));
        } catch (error) {
          fc.pre(!(error instanceof InvalidEventError && error.code === 'event-unsafe'));
          throw error;
        }
        const read = parseStreamEvent(decodeRecord(encodeRecord(enrichEvent(parsed, ENRICHMENT))), 'key');
        const { source, amount, timestamp, request_id: _, ...rest } = { request_id: '', ...event };
        expect(read).toMatchObject({ source, amount, timestamp, requestId: 'id-1' });
        expect(read.ingestedAt).toBe(Date.parse(ENRICHMENT.ingestion_timestamp));
        const payload = Object.fromEntries(
          Object.entries(read.fields).filter(
            ([key]) => !STREAM_FIELDS.has(key) && key !== 'ingestion_timestamp' && key !== 'source_ip',
          ),
        );
        const { ingestion_timestamp: _i, source_ip: _s, ...kept } = rest as Record<string, unknown>;
        expect(payload).toEqual(JSON.parse(JSON.stringify(kept)));
      }),
    );
  });

  it('fills in a missing source, in the stream with the partition key', () => {
    expect(parseEvent({ amount: 1 }).source).toBe(DEFAULT_SOURCE);
    expect(parseStreamEvent({ amount: 1 }, 'key').source).toBe('key');
    expect(eventSchema.parse({ amount: '2.5' }).amount).toBe(2.5);
  });

  it.each([
    ['/source', { source: 'x'.repeat(MAX_SOURCE_BYTES + 1), amount: 1 }],
    ['/source', { source: null, amount: 1 }],
    ['/amount', { amount: '0x10' }],
    ['/amount', { amount: ' 1' }],
    ['/amount', { amount: true }],
    ['/amount', { amount: 1e126 }],
    ['/amount', { amount: '1e-200' }],
    ['/timestamp', { amount: 1, timestamp: '2026-13-01' }],
    ['/timestamp', { amount: 1, timestamp: '2026-01-01 00:00' }],
  ])('refuses a bad %s', (pointer, event) => {
    expect(problemsOf(() => parseEvent(event))).toEqual({ code: 'event-invalid', pointers: [pointer] });
  });

  it.each(['2026-01-01', '2026-01-01T00:00:00', '2026-01-01T00:00:00.123456Z', '2026-01-01T05:30:00+05:30'])(
    'takes the timestamp %s',
    (timestamp) => {
      expect(parseEvent({ amount: 1, timestamp }).timestamp).toBe(timestamp);
    },
  );

  it('refuses what DynamoDB or a later stage could not keep', () => {
    let deep: unknown = 1;
    for (let i = 0; i < MAX_JSON_DEPTH; i++) deep = [deep];
    expect(problemsOf(() => parseEvent({ amount: 1, deep })).code).toBe('event-too-deep');
    const unsafe = [
      '{"amount":1,"__proto__":{}}',
      '{"amount":1,"":2}',
      '{"amount":1,"a":"\\ud800"}',
      '{"amount":1,"\\ud800":1}',
    ];
    for (const text of unsafe)
      expect(problemsOf(() => parseEvent(JSON.parse(text))).code).toBe('event-unsafe');
    const veryDeep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(problemsOf(() => parseEvent({ amount: 1, veryDeep })).code).toBe('event-too-deep');
    const wide = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 1]));
    expect(parseEvent({ amount: 1, wide: wide(MAX_JSON_PARTS - 2) }).amount).toBe(1);
    const halves = [wide(MAX_JSON_PARTS / 2), wide(MAX_JSON_PARTS / 2)];
    expect(problemsOf(() => parseEvent({ amount: 1, halves })).code).toBe('event-too-wide');
  });

  it('counts objects and arrays in arrays as it counts keys, and no plain values', () => {
    for (const part of [{}, []]) {
      const x = Array(MAX_JSON_PARTS - 2).fill(part);
      expect(parseEvent({ amount: 1, x }).x).toEqual(x);
      expect(problemsOf(() => parseEvent({ amount: 1, x: [...x, part] })).code).toBe('event-too-wide');
      expect(problemsOf(() => parseEvent({ amount: 1, x: [[...x]] })).code).toBe('event-too-wide');
    }
    // It was taken, by a producer that added keys to it or counted otherwise: there is nowhere to send it back to.
    const x = Array(MAX_JSON_PARTS * 20).fill([]);
    expect(parseStreamEvent({ amount: 1, x }, 'key').fields.x).toEqual(x);
    const samples = Array(50_000).fill(0.5);
    expect(parseEvent({ amount: 1, samples }).samples).toEqual(samples);
  });

  it('says where a value is that can not be kept, with the steps to it escaped and cut', () => {
    const pointers = (x: object) => problemsOf(() => parseEvent({ amount: 1, ...x })).pointers;
    expect(pointers({ 'a/b~': [0, [{ c: ['ok', '\ud800'] }]] })).toEqual(['/a~1b~0/1/0/c/1']);
    expect(pointers({ a: [{ b: { '': 1 } }] })).toEqual(['/a/0/b']);
    expect(pointers({ ['k'.repeat(100)]: '\ud800' })).toEqual([`/${'k'.repeat(64)}…`]);
    let deep: unknown = 1;
    for (let i = 0; i < MAX_JSON_DEPTH; i++) deep = [deep];
    expect(pointers({ deep })).toEqual([`/deep${'/0'.repeat(MAX_JSON_DEPTH - 1)}`]);
  });

  it('takes a source of 256 bytes and none longer, counted in UTF-8', () => {
    for (const source of ['x'.repeat(256), 'é'.repeat(128), '€'.repeat(85)]) {
      expect(parseEvent({ amount: 1, source }).source).toBe(source);
    }
    for (const source of ['x'.repeat(257), `${'é'.repeat(128)}x`, '€'.repeat(86), '']) {
      expect(problemsOf(() => parseEvent({ amount: 1, source })).pointers).toEqual(['/source']);
    }
  });

  it('refuses a request_id that can not be a key', () => {
    for (const request_id of [7, '', 'x'.repeat(257), null]) {
      expect(problemsOf(() => parseStreamEvent({ amount: 1, request_id }, 'key')).pointers).toEqual([
        '/request_id',
      ]);
    }
  });

  it('lets enrichment win over the client', () => {
    const forged = parseEvent({ amount: 1, request_id: 'mine', source_ip: 'x', ingestion_timestamp: 'y' });
    expect(enrichEvent(forged, ENRICHMENT)).toMatchObject(ENRICHMENT);
  });
});

describe('a record', () => {
  it.each([
    ['record-not-utf8', Buffer.from([0xc3, 0x28])],
    ['record-not-json', Buffer.from('secret{')],
    ['record-not-json', Buffer.alloc(0)],
  ])('is refused with %s, without what it holds', (code, data) => {
    expect(problemsOf(() => decodeRecord(data)).code).toBe(code);
    expect(() => decodeRecord(data)).not.toThrow(/secret/);
  });
});
