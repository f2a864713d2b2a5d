import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deaggregate } from '../../shared/kpl/aggregate.ts';
import { hashKeyOfPartitionKey, toDecimal } from '../shards/shard-map.ts';
import { type Packable, Packer, type Packing } from './packer.ts';
import {
  MAX_AGGREGATE_BYTES,
  MAX_CALL_BYTES,
  MAX_CALL_RECORDS,
  MAX_SHARD_BYTES,
  type SourceOrder,
} from './policy.ts';

const BYTES = Buffer.alloc(1_000_000, 1);
const event = (partitionKey: string, size: number): Packable => ({
  partitionKey,
  data: BYTES.subarray(0, size),
  bytes: size + Buffer.byteLength(partitionKey),
});

/** Packs events of one shard each, as the lanes do: a key goes on until it is full. */
function pack(
  packer: Packer<Packable>,
  byShard: ReadonlyMap<string | undefined, readonly Packable[]>,
): Packable[] {
  const added: Packable[] = [];
  for (const [shardId, events] of byShard) {
    packer.startShard(shardId);
    const keys = new Map<string, Packable[]>();
    for (const e of events) keys.set(e.partitionKey, [...(keys.get(e.partitionKey) ?? []), e]);
    let packing: Packing = 'added';
    for (const ofKey of keys.values()) {
      for (const [i, e] of ofKey.entries()) {
        packing = packer.add(e, i === 0);
        if (packing !== 'added') break;
        added.push(e);
      }
      if (packing === 'shard-full' || packing === 'call-full') break;
    }
    if (packing === 'call-full') break;
  }
  return added;
}

describe('the packer', () => {
  const events = fc.array(
    fc.record({
      shard: fc.constantFrom('s0', 's1', undefined),
      key: fc.integer({ min: 0, max: 30 }),
      size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(20_000, 60_000, 900_000)),
    }),
    { minLength: 1, maxLength: 700 },
  );

  it.each([
    ['off', 'relaxed'],
    ['off', 'strict'],
    ['key', 'relaxed'],
    ['key', 'strict'],
    ['shard', 'relaxed'],
    ['shard', 'strict'],
  ] as const)(
    'keeps every limit, and everything it took in order: %s, %s',
    (aggregation, order: SourceOrder) => {
      fc.assert(
        fc.property(events, (input) => {
          const byShard = new Map<string | undefined, Packable[]>();
          for (const { shard, key, size } of input) {
            const list = byShard.get(shard) ?? [];
            list.push(event(`${shard}-key-${key}`, size));
            byShard.set(shard, list);
          }
          const packer = new Packer<Packable>(aggregation, order);
          const added = pack(packer, byShard);
          const records = packer.records();
          expect(records.length).toBeLessThanOrEqual(MAX_CALL_RECORDS);
          const sizeOf = (r: (typeof records)[number]) =>
            r.data.byteLength + Buffer.byteLength(r.partitionKey);
          expect(records.reduce((sum, r) => sum + sizeOf(r), 0)).toBeLessThanOrEqual(MAX_CALL_BYTES);
          for (const shardId of ['s0', 's1']) {
            const ofShard = records.filter((r) => r.shardId === shardId);
            const bytes = ofShard.reduce((sum, r) => sum + sizeOf(r), 0);
            expect(bytes <= MAX_SHARD_BYTES || ofShard.length === 1).toBe(true);
          }
          const keysOf = (members: readonly Packable[]) => new Set(members.map((m) => m.partitionKey));
          for (const { members, data, partitionKey, explicitHashKey } of records) {
            if (members.length === 1) {
              expect(data).toBe(members[0]!.data);
              expect([partitionKey, explicitHashKey]).toEqual([members[0]!.partitionKey, undefined]);
              continue;
            }
            expect(data.byteLength).toBeLessThanOrEqual(MAX_AGGREGATE_BYTES);
            const read = deaggregate(data);
            if (read.kind !== 'aggregate') throw new Error(read.kind);
            expect(Array.from(read.records, (r) => [r.partitionKey, r.data.byteLength])).toEqual(
              members.map((m) => [m.partitionKey, m.data.byteLength]),
            );
            if (aggregation === 'key')
              expect([keysOf(members).size, explicitHashKey]).toEqual([1, undefined]);
            else expect(explicitHashKey).toBe(toDecimal(hashKeyOfPartitionKey(members[0]!.partitionKey)));
          }
          // Everything that was taken is in there once, a key's events in their order, with strict order in one record.
          const packed = records.flatMap((r) => r.members);
          expect(new Set(packed).size).toBe(packed.length);
          expect(packed).toHaveLength(added.length);
          const orderOf = (list: readonly Packable[]) =>
            Map.groupBy(
              list.map((e) => [e.partitionKey, added.indexOf(e)] as const),
              ([key]) => key,
            );
          expect(orderOf(packed)).toEqual(orderOf(added));
          if (order !== 'strict') return;
          const holding = records.flatMap(({ members }) => [...keysOf(members)]);
          expect(new Set(holding).size).toBe(holding.length);
        }),
        { numRuns: 40 },
      );
    },
  );

  it('sends plain records while nobody knows the shards', () => {
    const packer = new Packer<Packable>('shard', 'relaxed');
    pack(packer, new Map([[undefined, [event('a', 10), event('a', 10), event('b', 10)]]]));
    expect(packer.records().map((r) => r.members.length)).toEqual([1, 1, 1]);
  });
});
