import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Aggregator, deaggregate, hashKeyOf, type UserRecord } from './aggregate.ts';

const require = createRequire(import.meta.url);
/** AWS's own implementation for Node; its types need the SDK of version 2, so what we use of it is declared here. */
const reference = require('aws-kinesis-agg') as {
  RecordAggregator: new () => { addUserRecord(record: UserRecord): void; build(): { data: Buffer } };
  deaggregateSync(
    record: { data: string; partitionKey: string; sequenceNumber: string },
    computeChecksums: boolean,
    done: (
      error: Error | undefined,
      records?: { partitionKey: string; explicitPartitionKey?: string; data: string }[],
    ) => void,
  ): void;
};

function aggregate(records: readonly UserRecord[]): Buffer {
  const aggregator = new Aggregator();
  for (const record of records) aggregator.add(record);
  return aggregator.encode();
}

const plain = ({ partitionKey, explicitHashKey, data }: UserRecord) => ({
  partitionKey,
  explicitHashKey,
  data: Buffer.from(data).toString('hex'),
});

// The reference keeps keys as properties, which reorders small whole numbers: a letter before them avoids that.
const records = fc.array(
  fc.record(
    {
      partitionKey: fc.string({ unit: 'grapheme', maxLength: 20 }).map((key) => `k${key.toWellFormed()}`),
      explicitHashKey: fc.bigInt({ min: 2n ** 64n, max: 2n ** 128n - 1n }).map(String),
      data: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    },
    { requiredKeys: ['partitionKey', 'data'] },
  ),
  { minLength: 1, maxLength: 200 },
);

describe('an aggregate', () => {
  it('gives back what went in, and is as large as was said', () => {
    fc.assert(
      fc.property(records, (input) => {
        const aggregator = new Aggregator();
        for (const record of input) {
          const expected = aggregator.sizeWith(record);
          aggregator.add(record);
          expect(aggregator.size).toBe(expected);
        }
        const bytes = aggregator.encode();
        expect([bytes.length, aggregator.count]).toEqual([aggregator.size, input.length]);
        const read = deaggregate(bytes);
        if (read.kind !== 'aggregate') throw new Error(read.kind);
        expect(Array.from(read.records, plain)).toEqual(input.map(plain));
      }),
    );
  });

  it('is byte for byte what AWS’s own implementation writes', () => {
    fc.assert(
      fc.property(records, (input) => {
        const theirs = new reference.RecordAggregator();
        for (const record of input) theirs.addUserRecord(record);
        expect(aggregate(input).equals(theirs.build().data)).toBe(true);
      }),
    );
  });

  it('is read whole by AWS’s own implementation', () => {
    fc.assert(
      fc.property(records, (input) => {
        const data = aggregate(input).toString('base64');
        // Its reader takes a hash key index that is not there for 0, the first of the table.
        const first = input.find((record) => record.explicitHashKey !== undefined)?.explicitHashKey;
        reference.deaggregateSync(
          { data, partitionKey: 'a', sequenceNumber: '1' },
          true,
          (error, read = []) => {
            expect(error).toBeUndefined();
            expect(
              read.map((r) => [
                r.partitionKey,
                r.explicitPartitionKey,
                Buffer.from(r.data, 'base64').toString('hex'),
              ]),
            ).toEqual(input.map(plain).map((r) => [r.partitionKey, r.explicitHashKey ?? first, r.data]));
          },
        );
      }),
    );
  });

  it('takes empty data and a record larger than two length bytes', () => {
    const input = [
      { partitionKey: 'a', data: Buffer.alloc(0) },
      { partitionKey: 'a', data: Buffer.alloc(3_000_000, 7) },
    ];
    const read = deaggregate(aggregate(input));
    expect(read.kind === 'aggregate' && Array.from(read.records, plain)).toEqual(input.map(plain));
  });
});

describe('what is not an aggregate', () => {
  /** Bytes with a right digest, so that only the message can be at fault. */
  const sealed = (message: readonly number[]) =>
    Buffer.concat([
      Buffer.from([0xf3, 0x89, 0x9a, 0xc2]),
      Buffer.from(message),
      createHash('md5').update(Buffer.from(message)).digest(),
    ]);

  it.each([[''], ['{"amount":1}'], ['\u00f3\u0089']])('is plain: %j', (text) => {
    expect(deaggregate(Buffer.from(text, 'latin1'))).toEqual({ kind: 'plain' });
  });

  it.each<[string, Buffer]>([
    ['truncated', Buffer.from([0xf3, 0x89, 0x9a, 0xc2, 1, 2])],
    ['digest', Buffer.concat([sealed([0x0a, 1, 97]).subarray(0, -1), Buffer.from([0])])],
    ['truncated', sealed([0x0a, 5, 97])],
    ['truncated', sealed([0x1a, 0xff, 0xff, 0xff, 0xff, 0x07])],
    ['varint', sealed([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])],
    ['wire-type', sealed([0x0b])],
    ['not-utf8', sealed([0x0a, 1, 0xff])],
    ['index', sealed([0x0a, 1, 97, 0x1a, 5, 0x08, 1, 0x1a, 1, 98])],
    ['index', sealed([0x0a, 1, 97, 0x1a, 7, 0x08, 0, 0x10, 0, 0x1a, 1, 98])],
    ['index', sealed([0x0a, 1, 97, 0x1a, 3, 0x1a, 1, 98])],
    ['missing-field', sealed([0x0a, 1, 97, 0x1a, 2, 0x08, 0])],
  ])('is corrupt: %s', (problem, bytes) => {
    expect(deaggregate(bytes)).toEqual({ kind: 'corrupt', problem });
  });

  it('never throws or hangs, whatever the message holds', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 200 }), (message) => {
        expect(['aggregate', 'corrupt']).toContain(deaggregate(sealed(message)).kind);
      }),
      { numRuns: 2_000 },
    );
  });

  it('passes over tags and fields of the future', () => {
    const tagged = sealed([
      0x0a, 1, 97, 0x1a, 12, 0x08, 0, 0x1a, 1, 98, 0x22, 5, 0x0a, 3, 120, 121, 122, 0x50, 1,
    ]);
    const read = deaggregate(tagged);
    expect(read.kind === 'aggregate' && Array.from(read.records, plain)).toEqual([
      { partitionKey: 'a', data: '62' },
    ]);
  });
});

describe('the hash key', () => {
  it('is the MD5 of the partition key, unless one is given', () => {
    expect(hashKeyOf({ partitionKey: 'a' })).toBe(0x0cc175b9c0f1b6a831c399e269772661n);
    expect(hashKeyOf({ partitionKey: 'a', explicitHashKey: '7' })).toBe(7n);
  });
});
