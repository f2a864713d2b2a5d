import { createHash } from 'node:crypto';
import { PutRecordCommand, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { beforeAll, expect } from 'vitest';
import { type Bench, HASH_SPACE, rangeOf, refused, textOf } from './conformance.ts';

const MIB = 1024 * 1024;
const INVALID = ['ValidationException', 'InvalidArgumentException'];

/** PutRecord and PutRecords. */
export function putRules(bench: Bench): void {
  const rule = bench.rule.bind(bench);
  let stream: string;
  beforeAll(async () => {
    stream = await bench.stream(3);
  });
  const put = (more: { PartitionKey?: string; ExplicitHashKey?: string; Data?: Uint8Array }) =>
    bench.client.send(
      new PutRecordCommand({ StreamName: stream, PartitionKey: 'k', Data: Buffer.from('x'), ...more }),
    );
  const putAll = (Records: { PartitionKey: string; Data: Uint8Array; ExplicitHashKey?: string }[]) =>
    bench.client.send(new PutRecordsCommand({ StreamName: stream, Records }));
  const shardOf = async (hashKey: bigint) => {
    const shards = await bench.shards(stream);
    return shards.find((shard) => rangeOf(shard)[0] <= hashKey && hashKey <= rangeOf(shard)[1])?.ShardId;
  };

  rule('a record goes to the shard of the MD5 of its partition key', async () => {
    for (const PartitionKey of ['a', 'sensor-7', 'ü', '🛶']) {
      const hashKey = BigInt(`0x${createHash('md5').update(PartitionKey).digest('hex')}`);
      expect((await put({ PartitionKey })).ShardId).toBe(await shardOf(hashKey));
    }
  });

  rule('an explicit hash key wins', async () => {
    for (const hashKey of [0n, HASH_SPACE / 2n, HASH_SPACE - 1n]) {
      expect((await put({ ExplicitHashKey: String(hashKey) })).ShardId).toBe(await shardOf(hashKey));
    }
  });

  rule('an explicit hash key that is no number is refused', async () => {
    for (const ExplicitHashKey of ['-1', 'x']) await refused(put({ ExplicitHashKey }), ...INVALID);
  });
  rule('an explicit hash key of 2^128 is refused', async () => {
    await refused(put({ ExplicitHashKey: String(HASH_SPACE) }), ...INVALID);
  });

  rule('sequence numbers of a shard grow', async () => {
    const numbers = await bench.put(stream, 5);
    expect(numbers.map(BigInt)).toEqual(numbers.map(BigInt).sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(numbers).size).toBe(5);
    for (const number of numbers) expect(number).toMatch(/^\d{56}$/);
  });

  rule('PutRecords answers record by record, and keeps the order within a shard', async () => {
    const fresh = await bench.stream(2);
    const Records = Array.from({ length: 40 }, (_, i) => ({
      PartitionKey: `k${i % 7}`,
      Data: Buffer.from(`${i}`),
    }));
    const answer = await bench.client.send(new PutRecordsCommand({ StreamName: fresh, Records }));
    expect([answer.FailedRecordCount ?? 0, answer.Records?.length]).toEqual([0, 40]);
    const places = new Map<string, string[]>();
    for (const [i, { ShardId = '', SequenceNumber, ErrorCode }] of (answer.Records ?? []).entries()) {
      expect([SequenceNumber, ErrorCode]).toEqual([expect.stringMatching(/^\d{56}$/), undefined]);
      places.set(ShardId, [...(places.get(ShardId) ?? []), `${i}`]);
    }
    for (const { ShardId } of await bench.shards(fresh)) {
      const from = await bench.iterator(fresh, ShardId, { ShardIteratorType: 'TRIM_HORIZON' });
      expect(textOf((await bench.readOn(from)).records)).toEqual(places.get(ShardId) ?? []);
    }
  });

  rule('a record may be empty, or a whole MiB with its key', async () => {
    const fresh = await bench.stream(1);
    const sizes = [0, MIB - 1];
    for (const size of sizes) {
      const Data = Buffer.alloc(size, 1);
      await bench.patient.send(new PutRecordCommand({ StreamName: fresh, PartitionKey: 'k', Data }));
    }
    const [{ ShardId } = { ShardId: '' }] = await bench.shards(fresh);
    const from = await bench.iterator(fresh, ShardId, { ShardIteratorType: 'TRIM_HORIZON' });
    expect((await bench.readOn(from)).records.map(({ Data }) => Data?.byteLength ?? 0)).toEqual(sizes);
  });

  rule('a record of more than a MiB is refused', async () => {
    await refused(put({ Data: Buffer.alloc(MIB + 1) }), ...INVALID);
  });
  rule('a record of a MiB and its key is refused', async () => {
    await refused(put({ Data: Buffer.alloc(MIB) }), ...INVALID);
  });
  rule('a partition key has 1 to 256 characters', async () => {
    await put({ PartitionKey: 'x'.repeat(256) });
    for (const PartitionKey of ['', 'x'.repeat(257)]) await refused(put({ PartitionKey }), ...INVALID);
  });
  rule('PutRecords takes 500 records', async () => {
    const { FailedRecordCount = 0 } = await putAll(
      Array.from({ length: 500 }, (_, i) => ({ PartitionKey: `k${i}`, Data: Buffer.from('x') })),
    );
    expect(FailedRecordCount).toBe(0);
  });
  rule('PutRecords refuses 501 records', async () => {
    const Records = Array.from({ length: 501 }, () => ({ PartitionKey: 'k', Data: Buffer.from('x') }));
    await refused(putAll(Records), ...INVALID);
  });
  rule('PutRecords refuses no records', async () => {
    await refused(putAll([]), ...INVALID);
  });
  rule('one bad record refuses the whole PutRecords call', async () => {
    const good = { PartitionKey: 'k', Data: Buffer.from('x') };
    await refused(putAll([good, { ...good, ExplicitHashKey: String(HASH_SPACE) }]), ...INVALID);
  });
}
