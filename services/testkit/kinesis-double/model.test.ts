import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  divide,
  evenRanges,
  type HashRange,
  hashPartitionKey,
  mayDivide,
  parseDecimal,
  toDecimal,
} from './hash-key.ts';
import { planUniformScaling, type ReshardStep } from './reshard.ts';
import { SequenceNumbers } from './sequence.ts';
import type { Shard } from './shard.ts';
import { Stream } from './stream.ts';

const NOW = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;
const MAX = 2n ** 128n - 1n;

function stream(shards: number, options: Partial<Stream['settings']> = {}, creatingMs = 0): Stream {
  const settings = {
    name: 's',
    maxRecordBytes: 1024,
    retentionMs: 24 * HOUR_MS,
    retainedBytesPerShard: 1e9,
    ...options,
  };
  return new Stream(settings, shards, NOW, creatingMs);
}

/** True when the ranges, in order, are exactly 0 to 2^128 - 1. */
function expectWhole(ranges: readonly HashRange[]): void {
  let next = 0n;
  for (const { start, end } of ranges) {
    expect(BigInt(toDecimal(start))).toBe(next);
    expect(end >= start).toBe(true);
    next = BigInt(toDecimal(end)) + 1n;
  }
  expect(next).toBe(MAX + 1n);
}

/** A reshard of any kind, by numbers that are taken modulo what there is. */
const change = fc.record({
  kind: fc.constantFrom('split', 'merge', 'scale'),
  shard: fc.nat(),
  at: fc.bigInt({ min: 0n, max: MAX }),
});

function stepsOf(s: Stream, { kind, shard, at }: { kind: string; shard: number; at: bigint }): ReshardStep[] {
  const ranges = s.open.map((open) => open.range);
  const i = shard % ranges.length;
  const range = ranges[i]!;
  if (kind === 'scale') return planUniformScaling(ranges, 1 + (shard % 12));
  if (kind === 'merge') {
    const right = ranges[i + 1];
    return right ? [{ kind: 'merge', left: range, right }] : [];
  }
  const size = BigInt(toDecimal(range.end)) - BigInt(toDecimal(range.start));
  const key = parseDecimal(String(BigInt(toDecimal(range.start)) + (at % (size + 1n))))!;
  return mayDivide(range, key) ? [{ kind: 'split', range, at: key }] : [];
}

describe('hash keys', () => {
  it('are the MD5 of the partition key', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (key) => {
        const md5 = BigInt(`0x${createHash('md5').update(key).digest('hex')}`);
        expect(toDecimal(hashPartitionKey(key))).toBe(String(md5));
      }),
    );
  });

  it('are read from decimal up to 2^128 - 1', () => {
    expect(toDecimal(parseDecimal(String(MAX))!)).toBe(String(MAX));
    expect(toDecimal(parseDecimal('0')!)).toBe('0');
    for (const bad of [String(MAX + 1n), '-1', '01', '', 'a', '1.5', '9'.repeat(39)]) {
      expect(parseDecimal(bad)).toBeUndefined();
    }
  });

  it('are divided into even ranges as AWS divides them', () => {
    expect(evenRanges(3).map(({ end }) => toDecimal(end))).toEqual([
      '113427455640312821154458202477256070484',
      '226854911280625642308916404954512140969',
      '340282366920938463463374607431768211455',
    ]);
    fc.assert(fc.property(fc.integer({ min: 1, max: 500 }), (n) => expectWhole(evenRanges(n))));
  });
});

describe('a stream under any reshards', () => {
  it('covers 0 to 2^128 - 1 by its open shards, and each shard by its children', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(change, { maxLength: 8 }), (shards, changes) => {
        const s = stream(shards);
        for (const [i, next] of changes.entries()) {
          s.reshard(stepsOf(s, next), NOW + i, 0);
          expectWhole(s.open.map((shard) => shard.range));
        }
        for (const shard of s.listed(NOW)) {
          expect(s.open.includes(shard)).toBe(shard.closedAt === undefined);
          expect(shard.children.length === 0).toBe(shard.closedAt === undefined);
          expect(shard.parents.length).toBeLessThanOrEqual(2);
          for (const child of shard.children) expect(child.parents).toContain(shard);
        }
      }),
    );
  });

  it('has exactly the wanted number of even shards after a uniform scaling', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 24 }),
        fc.array(change, { maxLength: 4 }),
        (shards, target, changes) => {
          const s = stream(shards);
          for (const next of changes) s.reshard(stepsOf(s, next), NOW, 0);
          s.reshard(
            planUniformScaling(
              s.open.map((shard) => shard.range),
              target,
            ),
            NOW,
            0,
          );
          expect(s.open.map((shard) => shard.range)).toEqual(evenRanges(target));
        },
      ),
    );
  });

  it('gives sequence numbers of 56 digits that grow in a shard and from parent to child', () => {
    const write = fc.record({ key: fc.string({ minLength: 1 }), waitMs: fc.nat(1500) });
    const act = fc.oneof(change, write);
    fc.assert(
      fc.property(fc.array(act, { maxLength: 30 }), (acts) => {
        const s = stream(3);
        const bySource = new Map<string, string>();
        const last = new Map<Shard, string>();
        let now = NOW;
        for (const next of acts) {
          if ('kind' in next) {
            s.reshard(stepsOf(s, next), now, 0);
            continue;
          }
          now += next.waitMs;
          const shard = s.route(hashPartitionKey(next.key));
          const number = shard.append(next.key, '', 1, now);
          expect(number).toMatch(/^\d{56}$/);
          // Of equal length, so they compare as text.
          expect(number > (last.get(shard) ?? shard.startingSequenceNumber)).toBe(true);
          expect(number > (bySource.get(next.key) ?? '')).toBe(true);
          last.set(shard, number);
          bySource.set(next.key, number);
        }
        for (const shard of s.listed(now)) {
          for (const parent of shard.parents) {
            expect(shard.startingSequenceNumber > (last.get(parent) ?? '')).toBe(true);
          }
          if (shard.endingSequenceNumber !== undefined) {
            expect(shard.endingSequenceNumber > (last.get(shard) ?? '')).toBe(true);
          }
        }
      }),
    );
  });

  it('routes each hash key to the one open shard whose range holds it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.bigInt({ min: 0n, max: MAX }), (shards, value) => {
        const key = parseDecimal(String(value))!;
        const { range } = stream(shards).route(key);
        expect(range.start <= key && key <= range.end).toBe(true);
      }),
    );
  });
});

describe('sequence numbers', () => {
  it('know their own shard and record', () => {
    const numbers = new SequenceNumbers(17, 1_700_000_000);
    expect(numbers.recordIndex(numbers.at(42, NOW))).toBe(42);
    expect(new SequenceNumbers(33, 1_700_000_000).recordIndex(numbers.at(42, NOW))).toBeUndefined();
    expect(new SequenceNumbers(17, 1_700_000_001).recordIndex(numbers.at(42, NOW))).toBeUndefined();
    for (const bad of ['', '-1', 'abc', '1'.repeat(90)]) expect(numbers.recordIndex(bad)).toBeUndefined();
  });
});

describe('a change of a stream', () => {
  it('takes its time, and closes the shards when it is done', () => {
    const s = stream(1, {}, 100);
    expect(s.status).toBe('CREATING');
    s.settle(NOW + 100);
    expect(s.status).toBe('ACTIVE');
    const [parent] = s.open;
    const [, at] = evenRanges(2);
    s.reshard([{ kind: 'split', range: parent!.range, at: at!.start }], NOW + 200, 50);
    expect([s.status, s.open.length, parent!.closedAt]).toEqual(['UPDATING', 1, undefined]);
    s.settle(NOW + 249);
    expect(s.open).toHaveLength(1);
    s.settle(NOW + 999);
    expect([s.status, s.open.length, parent!.closedAt]).toEqual(['ACTIVE', 2, NOW + 250]);
    expect(s.open.map((shard) => shard.range)).toEqual(divide(parent!.range, at!.start));
    s.delete(NOW + 1_000, 10);
    expect([s.status, s.deleted]).toEqual(['DELETING', false]);
    s.settle(NOW + 1_010);
    expect(s.deleted).toBe(true);
  });
});

describe('retention', () => {
  it('removes old records, then closed shards, and keeps indexes as they were', () => {
    const s = stream(1);
    const [shard] = s.open;
    for (let i = 0; i < 10; i++) shard!.append('k', '', 1, NOW + i * HOUR_MS);
    s.reshard(planUniformScaling([shard!.range], 2), NOW + 10 * HOUR_MS, 0);
    s.trim([shard!], NOW + 27 * HOUR_MS);
    expect([shard!.begin, shard!.end, shard!.at(3), shard!.at(4)?.arrivedAt]).toEqual([
      4,
      11,
      undefined,
      NOW + 3 * HOUR_MS,
    ]);
    expect(shard!.indexAtTime(NOW + 5 * HOUR_MS - 1)).toBe(6);
    expect(s.listed(NOW + 34 * HOUR_MS)).toHaveLength(3);
    expect(s.listed(NOW + 35 * HOUR_MS)).toEqual(s.open);
    expect(s.shard(shard!.id, NOW + 35 * HOUR_MS)).toBeUndefined();
  });

  it('holds no more bytes than it may, whatever was trimmed before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 3_000, size: 'max' }),
        fc.nat(5_000),
        (sizes, max) => {
          const s = stream(1, { retainedBytesPerShard: max });
          const shard = s.open[0]!;
          const numbers = sizes.map((size) => {
            const number = shard.append('k', '', size, NOW);
            s.trim([shard], NOW);
            return number;
          });
          const kept = shard.kept();
          const bytes = kept.reduce((sum, { size }) => sum + size, 0);
          expect(bytes).toBeLessThanOrEqual(max);
          expect(bytes + (sizes.at(-1 - kept.length) ?? max + 1)).toBeGreaterThan(max);
          expect(kept.map((record) => record.sequenceNumber)).toEqual(
            numbers.slice(numbers.length - kept.length),
          );
          expect(shard.at(shard.begin)).toBe(kept[0]);
          expect([shard.end, s.stored]).toEqual([sizes.length + 1, sizes.length]);
        },
      ),
      { numRuns: 30 },
    );
  });
});
