import { setTimeout as sleep } from 'node:timers/promises';
import { GetRecordsCommand, GetShardIteratorCommand, PutRecordCommand } from '@aws-sdk/client-kinesis';
import { beforeAll, expect } from 'vitest';
import { listShardsAt } from '../../shared/list-shards.ts';
import { type Bench, refused, textOf } from './conformance.ts';

const SHARD = 'shardId-000000000000';
const ALL = ['0', '1', '2', '3', '4', '5'];

/** GetShardIterator and GetRecords. */
export function readRules(bench: Bench): void {
  const rule = bench.rule.bind(bench);
  let stream: string;
  let numbers: string[];
  let afterThree: Date;
  beforeAll(async () => {
    stream = await bench.stream(1);
    const first = await bench.put(stream, 3);
    // Wide of what a rounding to tenths could move.
    await sleep(150);
    afterThree = new Date();
    await sleep(150);
    for (const data of ['3', '4', '5']) {
      const { SequenceNumber = '' } = await bench.patient.send(
        new PutRecordCommand({ StreamName: stream, PartitionKey: 'k', Data: Buffer.from(data) }),
      );
      first.push(SequenceNumber);
    }
    numbers = first;
  });
  type From = Parameters<Bench['iterator']>[2];
  const from = (input: From) => bench.iterator(stream, SHARD, input);
  const texts = async (input: From, limit?: number) =>
    textOf((await bench.readOn(await from(input), limit)).records);

  rule('TRIM_HORIZON reads everything, in order, as it was put', async () => {
    const { records, last } = await bench.readOn(await from({ ShardIteratorType: 'TRIM_HORIZON' }));
    expect(textOf(records)).toEqual(ALL);
    expect(records.map(({ SequenceNumber }) => SequenceNumber)).toEqual(numbers);
    expect(records.map(({ PartitionKey }) => PartitionKey)).toEqual(['k0', 'k1', 'k2', 'k', 'k', 'k']);
    for (const { ApproximateArrivalTimestamp } of records) {
      expect(Math.abs(Date.now() - Number(ApproximateArrivalTimestamp))).toBeLessThan(120_000);
    }
    expect([last.MillisBehindLatest, typeof last.NextShardIterator]).toEqual([0, 'string']);
  });

  rule('a limit gives that many, and the next iterator goes on', async () => {
    const first = await bench.read(await from({ ShardIteratorType: 'TRIM_HORIZON' }), 4);
    expect(textOf(first.Records ?? [])).toEqual(ALL.slice(0, 4));
    expect(textOf((await bench.read(first.NextShardIterator)).Records ?? [])).toEqual(['4', '5']);
  });

  rule('who is behind is told so', async () => {
    const { MillisBehindLatest } = await bench.read(await from({ ShardIteratorType: 'TRIM_HORIZON' }), 1);
    expect(MillisBehindLatest).toBeGreaterThan(0);
  });

  rule('an iterator may be used again', async () => {
    const iterator = await from({ ShardIteratorType: 'TRIM_HORIZON' });
    const read = async () => textOf((await bench.read(iterator)).Records ?? []);
    expect([await read(), await read()]).toEqual([ALL, ALL]);
  });

  rule('AT_SEQUENCE_NUMBER begins with it, AFTER_SEQUENCE_NUMBER behind it', async () => {
    const StartingSequenceNumber = numbers[2];
    const at = { ShardIteratorType: 'AT_SEQUENCE_NUMBER', StartingSequenceNumber } as const;
    const after = { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber } as const;
    expect([await texts(at), await texts(after)]).toEqual([ALL.slice(2), ALL.slice(3)]);
    const end = { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber: numbers[5] } as const;
    expect(await texts(end)).toEqual([]);
  });

  rule('AT_SEQUENCE_NUMBER takes the number that a shard starts with', async () => {
    const [shard] = await bench.shards(stream);
    const StartingSequenceNumber = shard?.SequenceNumberRange?.StartingSequenceNumber;
    expect(await texts({ ShardIteratorType: 'AT_SEQUENCE_NUMBER', StartingSequenceNumber })).toEqual(ALL);
  });

  rule('AT_TIMESTAMP begins with what arrived then or later', async () => {
    expect(await texts({ ShardIteratorType: 'AT_TIMESTAMP', Timestamp: afterThree })).toEqual(ALL.slice(3));
    expect(await texts({ ShardIteratorType: 'AT_TIMESTAMP', Timestamp: new Date(0) })).toEqual(ALL);
  });

  rule('LATEST reads what comes after it, and nothing before', async () => {
    const fresh = await bench.stream(1);
    await bench.put(fresh, 2);
    const latest = await bench.iterator(fresh, SHARD, { ShardIteratorType: 'LATEST' });
    const before = await bench.read(latest);
    expect(before.Records).toEqual([]);
    await bench.put(fresh, 3);
    const { records } = await bench.readOn(before.NextShardIterator ?? '');
    expect(textOf(records)).toEqual(['0', '1', '2']);
  });

  rule('an iterator that lacks what it goes by is refused', async () => {
    for (const ShardIteratorType of [
      'AT_SEQUENCE_NUMBER',
      'AFTER_SEQUENCE_NUMBER',
      'AT_TIMESTAMP',
    ] as const) {
      await refused(from({ ShardIteratorType }), 'InvalidArgumentException', 'ValidationException');
    }
  });
  rule('AT_TIMESTAMP takes the time by the header of an answer, and none that is still to come', async () => {
    const { at } = await listShardsAt(bench.client, stream);
    expect(Math.abs(Date.now() - Number(at))).toBeLessThan(120_000);
    const ShardIteratorType = 'AT_TIMESTAMP';
    expect(await from({ ShardIteratorType, Timestamp: new Date(Number(at)) })).toBeTypeOf('string');
    const later = from({ ShardIteratorType, Timestamp: new Date(Date.now() + 3_600_000) });
    await refused(later, 'InvalidArgumentException');
  });
  rule('a shard that is not there is ResourceNotFoundException', async () => {
    const input = {
      StreamName: stream,
      ShardId: 'shardId-000000000999',
      ShardIteratorType: 'LATEST',
    } as const;
    await refused(bench.client.send(new GetShardIteratorCommand(input)), 'ResourceNotFoundException');
  });
  rule('a sequence number of another stream is refused', async () => {
    const StartingSequenceNumber = '49000000000000000000000000000000000000000000000000000001';
    const call = from({ ShardIteratorType: 'AT_SEQUENCE_NUMBER', StartingSequenceNumber });
    await refused(call, 'InvalidArgumentException');
  });
  rule('an iterator that is none is refused', async () => {
    const call = bench.client.send(new GetRecordsCommand({ ShardIterator: 'bm9uZQ==' }));
    await refused(call, 'InvalidArgumentException', 'ValidationException');
  });
  rule('a limit is 1 to 10,000', async () => {
    const ShardIterator = await from({ ShardIteratorType: 'TRIM_HORIZON' });
    for (const Limit of [0, 10_001]) {
      const call = bench.client.send(new GetRecordsCommand({ ShardIterator, Limit }));
      await refused(call, 'ValidationException', 'InvalidArgumentException');
    }
  });
}
