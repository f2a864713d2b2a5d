import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../detectors/detector.ts';
import type { DecodedRecord } from '../pipeline/decode.ts';
import { toRows } from './dead-letters.ts';
import { toItem } from './item.ts';
import { valueJson } from './wire.ts';

describe('valueJson', () => {
  it.each([
    ['text', { S: 'text' }],
    ['', { S: '' }],
    [1.5, { N: '1.5' }],
    [-0, { N: '0' }],
    [1e300, { S: '1e+300' }],
    [1e-131, { S: '1e-131' }],
    [true, { BOOL: true }],
    [null, { NULL: true }],
    [[1, 'a'], { L: [{ N: '1' }, { S: 'a' }] }],
    [{ a: { b: null } }, { M: { a: { M: { b: { NULL: true } } } } }],
  ])('keeps %j', (value, attribute) => {
    expect(JSON.parse(valueJson(value))).toEqual(attribute);
  });
});

describe('an item of the records table', () => {
  const decoded = {
    id: 'id',
    record: {
      shardId: 'shardId-000000000000',
      sequenceNumber: '7',
      partitionKey: 'key',
      data: new Uint8Array(),
      arrivedAt: 1_700_000_000_999,
    },
    event: { source: 'a', amount: 1, fields: {} },
    timestamp: '2026-01-01T00:00:00Z',
  } as unknown as DecodedRecord;
  const expiry = (days?: number) => {
    const { json } = toItem(decoded, { score: 0, isAnomaly: false, method: 'm' } as Verdict, '', days);
    return JSON.parse(json).expires_at;
  };

  it('expires so many days after its record came, in whole seconds, or never', () => {
    expect(expiry(7)).toEqual({ N: String(1_700_000_000 + 7 * 86_400) });
    expect(expiry(0)).toBeUndefined();
    expect(expiry()).toBeUndefined();
  });
});

describe('a dead letter', () => {
  const letter = (bytes: number) => ({
    record: {
      shardId: 'shardId-000000000000',
      sequenceNumber: '7',
      partitionKey: 'key',
      data: Uint8Array.from({ length: bytes }, (_, i) => i % 251),
      arrivedAt: 1_700_000_000_123,
    },
    reason: 'record-not-json',
    errorCode: 'record-not-json',
    message: `half a pair \ud800 ${'x'.repeat(5_000)}`,
  });

  it.each([0, 1, 358_400, 358_401, 1_048_576])('keeps all of %i bytes, no item over the limit', (bytes) => {
    const rows = toRows(letter(bytes), 'stream', '2026-01-01T00:00:00.000Z');
    const data = rows.flatMap((row) => [...(row.data?.B ?? [])]);
    expect(Buffer.from(data).equals(letter(bytes).record.data)).toBe(true);
    expect(rows[0]).toMatchObject({ chunks: { N: String(rows.length) }, size_bytes: { N: String(bytes) } });
    expect(new Set(rows.map((row) => row.id?.S))).toEqual(new Set(['stream/shardId-000000000000/7']));
    for (const row of rows) expect(row.data?.B?.byteLength).toBeLessThan(390_000);
  });

  it('has a message that DynamoDB can keep', () => {
    const message = toRows(letter(1), 'stream', '')[0]?.message?.S;
    expect(message?.isWellFormed()).toBe(true);
    expect(message?.length).toBeLessThanOrEqual(1_000);
  });
});
