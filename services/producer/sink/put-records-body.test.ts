import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { putRecordsBody } from './put-records-body.ts';

const records = fc.array(
  fc.record(
    {
      partitionKey: fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
      data: fc.uint8Array({ maxLength: 200 }),
      explicitHashKey: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map(String),
    },
    { requiredKeys: ['partitionKey', 'data'] },
  ),
  { minLength: 1, maxLength: 50 },
);

describe('the body of PutRecords', () => {
  it('is JSON in ASCII that holds what was given, whatever characters the names have', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\w.-]{1,128}$/), records, (stream, given) => {
        const body = putRecordsBody(stream, given);
        expect(body.every((byte) => byte < 0x80)).toBe(true);
        expect(JSON.parse(body.toString())).toEqual({
          StreamName: stream,
          Records: given.map(({ partitionKey, data, explicitHashKey }) => ({
            Data: Buffer.from(data).toString('base64'),
            PartitionKey: partitionKey,
            ...(explicitHashKey === undefined ? {} : { ExplicitHashKey: explicitHashKey }),
          })),
        });
      }),
    );
  });
});
