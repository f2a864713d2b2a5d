import { describe, expect, it } from 'vitest';
import { InvalidEventError } from '../../shared/errors.ts';
import { Aggregator, hashKeyOf } from '../../shared/kpl/aggregate.ts';
import { decode } from '../pipeline/decode.ts';
import type { StreamRecord } from '../record.ts';
import { type AggregateRules, takeSlice, userRecords } from './user-records.ts';

const RULES: AggregateRules = { corrupt: 'quarantine', stray: 'quarantine' };
const ALL = { starting: 0n, ending: 2n ** 128n - 1n };

function record(data: Uint8Array): StreamRecord {
  return { shardId: 'shardId-000000000000', sequenceNumber: '1', partitionKey: 'a', data, arrivedAt: 0 };
}

function aggregateOf(...keys: string[]): Buffer {
  const aggregator = new Aggregator();
  for (const partitionKey of keys) aggregator.add({ partitionKey, data: Buffer.from('{"amount":1}') });
  return aggregator.encode();
}

const takenApart = (...args: Parameters<typeof userRecords>) => [...userRecords(...args)];

describe('a slice', () => {
  const sequence = ({ sequenceNumber, subSequenceNumber }: StreamRecord) => [
    sequenceNumber,
    subSequenceNumber,
  ];

  it('is as large as was asked for, also in the middle of an aggregate', () => {
    const records = userRecords(record(aggregateOf(...'abcdefg')), RULES, ALL)[Symbol.iterator]();
    expect(takeSlice(records, 3).map(sequence)).toEqual([0, 1, 2].map((sub) => ['1', sub]));
    expect(takeSlice(records, 500).map(sequence)).toEqual([3, 4, 5, 6].map((sub) => ['1', sub]));
    expect(takeSlice(records, 500)).toEqual([]);
  });

  it('has few records when they are large, and one at least', () => {
    const sizes = [10, 600_000, 600_000, 5_000_000, 5_000_000];
    const records = sizes.map((size) => record(Buffer.alloc(size))).values();
    const slices = [1, 2, 3, 4].map(() => takeSlice(records, 500).map(({ data }) => data.byteLength));
    expect(slices).toEqual([[10, 600_000, 600_000], [5_000_000], [5_000_000], []]);
  });

  it('costs what is in it, not what comes after it: an aggregate holds 170,000 of the smallest records', () => {
    const aggregator = new Aggregator();
    for (let n = 0; n < 170_000; n++) aggregator.add({ partitionKey: 'a', data: new Uint8Array() });
    const bytes = aggregator.encode();
    expect(bytes.length).toBeLessThan(1024 * 1024 + 50_000);
    const before = process.memoryUsage().heapUsed;
    const slice = takeSlice(userRecords(record(bytes), RULES, ALL)[Symbol.iterator](), 32);
    // All of them took 40 MB; a garbage collection in between only makes it less.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000);
    expect(slice).toHaveLength(32);
  });
});

describe('the user records of a Kinesis record', () => {
  it('are itself when it is no aggregate', () => {
    const plain = record(Buffer.from('{"amount":1}'));
    expect(takenApart(plain, RULES, ALL)).toEqual([plain]);
  });

  it('are one, whole and refused, when it is a damaged aggregate; or a plain one, by choice', () => {
    const bytes = aggregateOf('a', 'b');
    bytes.writeUInt8(bytes.readUInt8(10) ^ 1, 10);
    const [quarantined, ...none] = takenApart(record(bytes), RULES, ALL);
    expect(none).toEqual([]);
    expect(quarantined).toMatchObject({ data: bytes, refused: { reason: 'aggregate-corrupt' } });
    expect(takenApart(record(bytes), { ...RULES, corrupt: 'accept' }, ALL)).toEqual([record(bytes)]);
  });

  it('are refused one by one where they lie outside the shard; the others go on', () => {
    const keys = ['a', 'b', 'c', 'd', 'a'];
    const at = hashKeyOf({ partitionKey: 'c' });
    const range = { starting: at, ending: at };
    const taken = takenApart(record(aggregateOf(...keys)), RULES, range);
    expect(
      taken.map(({ partitionKey, subSequenceNumber, refused }) => [
        partitionKey,
        subSequenceNumber,
        refused?.reason,
      ]),
    ).toEqual(keys.map((key, i) => [key, i, key === 'c' ? undefined : 'aggregate-stray']));
    for (const rules of [RULES, { ...RULES, stray: 'accept' } as const]) {
      const wide = takenApart(
        record(aggregateOf(...keys)),
        rules,
        rules.stray === 'accept' ? range : undefined,
      );
      expect(wide.every(({ refused }) => refused === undefined)).toBe(true);
    }
  });

  it('are refused when their explicit hash key is none, however long it is', () => {
    const aggregator = new Aggregator();
    for (const explicitHashKey of ['x', '-1', '9'.repeat(100_000), '0']) {
      aggregator.add({ partitionKey: 'k', explicitHashKey, data: Buffer.from('1') });
    }
    const taken = takenApart(record(aggregator.encode()), RULES, ALL);
    expect(taken.map(({ refused }) => refused !== undefined)).toEqual([true, true, true, false]);
  });

  it('are refused when Kinesis would not take their partition key: it would be no key of the state table either', () => {
    const keys = ['', 'k'.repeat(257 * 4), '🧊'.repeat(256), 'k'.repeat(500_000), 'a'];
    for (const rules of [RULES, { corrupt: 'accept', stray: 'accept' } as const]) {
      const taken = takenApart(record(aggregateOf(...keys)), rules, ALL);
      expect(taken.map(({ refused }) => refused?.reason)).toEqual([
        'aggregate-corrupt',
        'aggregate-corrupt',
        undefined,
        'aggregate-corrupt',
        undefined,
      ]);
      for (const { partitionKey } of taken)
        expect(Buffer.byteLength(partitionKey)).toBeLessThanOrEqual(1_024);
    }
  });

  it('become dead letters for their reason when they are refused', () => {
    const refused = { ...record(aggregateOf('a')), refused: { reason: 'aggregate-corrupt', message: 'why' } };
    expect(() => decode(refused, 'stream')).toThrow(InvalidEventError);
    expect(() => decode(refused, 'stream')).toThrow(
      expect.objectContaining({ code: 'aggregate-corrupt', message: 'why' }),
    );
  });
});
