import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { enrichEvent, type IncomingEvent } from '../../shared/event.ts';
import { encodeRecord } from '../../shared/record.ts';
import { Enricher } from './enricher.ts';

const REQUEST_ID = '0199aaaa-bbbb-7ccc-8ddd-0123456789ab';
const OURS = ['ingestion_timestamp', 'source_ip', 'request_id', 'traceparent'];

const events = fc
  .record({
    source: fc.string({ unit: 'grapheme', minLength: 1 }),
    timestamp: fc.option(fc.constant('2026-01-02'), { nil: undefined }),
    amount: fc.double({ noNaN: true, noDefaultInfinity: true }),
    rest: fc.dictionary(
      fc.oneof(fc.constantFrom(...OURS), fc.string({ unit: 'grapheme' })),
      fc.jsonValue({ maxDepth: 3 }),
    ),
  })
  .map(({ rest, ...event }) => JSON.parse(JSON.stringify({ ...rest, ...event })) as IncomingEvent);

describe('what the producer adds', () => {
  it('is put behind the event as if both were one object, whatever the client sends in its place', () => {
    const shared = fc.record(
      {
        ingestion_timestamp: fc.constant('2026-01-02T03:04:05.678Z'),
        source_ip: fc.oneof(fc.ipV4(), fc.ipV6()),
        traceparent: fc.constant('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
      },
      { requiredKeys: ['ingestion_timestamp', 'source_ip'] },
    );
    fc.assert(
      fc.property(events, shared, (event, added) => {
        const expected = enrichEvent(event, { ...added, request_id: REQUEST_ID });
        const record = new Enricher(added).encode(event, REQUEST_ID);
        expect(record.toString()).toBe(encodeRecord(expected).toString());
      }),
      { numRuns: 2_000 },
    );
  });
});
