import { createHash } from 'node:crypto';
import { DeleteItemCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import { replay, streamRecord, testPipeline, WHOLE_RANGE } from './fixtures.ts';

const MIDDLE = 2n ** 127n;
const LOWER = { starting: '0', ending: String(MIDDLE - 1n) };
const UPPER = { starting: String(MIDDLE), ending: WHOLE_RANGE.ending };
const [PARENT, LOW, HIGH, MERGED] = [0, 1, 2, 3].map((n) => `shardId-00000000000${n}`) as [
  string,
  string,
  string,
  string,
];

const own = ownStack();

function worker(hashKeyRange: { starting: string; ending: string }): ShardProcessor {
  const { pipeline, close } = testPipeline(own.stack.dynamodb, own.stack.resources);
  own.onEnd(close);
  return pipeline.open({ hashKeyRange });
}

const { signal } = new AbortController();
const feed = (processor: ShardProcessor, records: readonly StreamRecord[]) =>
  processor.process(records, signal, () => {});
const flush = (processor: ShardProcessor) => processor.flush(signal, () => {});
const isLow = (source: string) => BigInt(`0x${createHash('md5').update(source).digest('hex')}`) < MIDDLE;
/** A child's sequence numbers are above its parents'. */
const inShard = (shardId: string, from: number, count: number) =>
  Array.from({ length: count }, (_, n) => ({
    ...streamRecord(from + n, `s${n % 8}`, from + n, { shardId }),
    sequenceNumber: String(1_000 + from + n),
  }));

async function expectReplayed(records: readonly StreamRecord[]): Promise<void> {
  const { verdicts } = replay(records);
  const items = await own.stack.records();
  expect(Object.fromEntries(items.map((item) => [item.id, item.anomaly_score]))).toEqual(
    Object.fromEntries(Array.from(verdicts, ([id, { score }]) => [id, score])),
  );
}

describe('the state of a source', () => {
  it('goes on through a split and a merge, and a late worker on the parent changes nothing', async () => {
    const before = inShard(PARENT, 0, 80);
    const between = inShard(LOW, 80, 80).map((record) => ({
      ...record,
      shardId: isLow(record.partitionKey) ? LOW : HIGH,
    }));
    const after = inShard(MERGED, 160, 80);
    const zombie = worker(WHOLE_RANGE);
    await feed(zombie, before.slice(0, 40));
    const parent = worker(WHOLE_RANGE);
    await feed(parent, before);
    await flush(parent);
    for (const [shard, range] of [
      [LOW, LOWER],
      [HIGH, UPPER],
    ] as const) {
      const child = worker(range);
      await feed(
        child,
        between.filter(({ shardId }) => shardId === shard),
      );
      await flush(child);
    }
    await flush(zombie);
    await feed(zombie, before.slice(40));
    await flush(zombie);
    const merged = worker(WHOLE_RANGE);
    await feed(merged, after);
    await flush(merged);
    await expectReplayed([...before, ...between, ...after]);
    expect(await own.stack.states()).toHaveLength(8);
  });

  it('does not let records of a stream that was made again under its name pass for done', async () => {
    const child = worker(UPPER);
    await feed(child, inShard(HIGH, 0, 8));
    await flush(child);
    const anew = worker(WHOLE_RANGE);
    const records = inShard(PARENT, 100, 8);
    await expect(feed(anew, records)).rejects.toMatchObject({ code: 'another-stream' });
    expect(await own.stack.countRecords()).toBe(8);
    for (const { series, part } of await own.stack.states()) {
      const Key = { series: { S: String(series) }, part: { S: String(part) } };
      await own.stack.dynamodb.send(
        new DeleteItemCommand({ TableName: own.stack.resources.stateTable, Key }),
      );
    }
    const again = worker(WHOLE_RANGE);
    await feed(again, records);
    expect(await own.stack.countRecords()).toBe(16);
  });

  it('is not shared by shards that are of no lineage: no record is taken for done by what another shard did', async () => {
    // Another writer put the same source in both shards, by explicit hash key or an old shard map.
    const sources = Array.from({ length: 8 }, (_, n) => `s${n}`);
    const stray = (shardId: string, from: number) =>
      sources.map((source, n) => streamRecord(from + n, source, n, { shardId }));
    const high = worker(UPPER);
    await feed(high, stray(HIGH, 0));
    await flush(high);
    const low = worker(LOWER);
    await feed(low, stray(LOW, 100));
    await flush(low);
    expect(await own.stack.countRecords()).toBe(16);
    const states = await own.stack.states();
    expect(states).toHaveLength(16);
    expect(states.filter(({ series }) => sources.includes(String(series)))).toHaveLength(8);
  });

  it('has a key that DynamoDB takes, whatever another writer calls its source and its partition key', async () => {
    const [source, partitionKey] = ['\u0001'.repeat(256), '\u0002'.repeat(256)];
    const low = worker(LOWER);
    await feed(low, [
      streamRecord(1, source, 1, { partitionKey }),
      streamRecord(2, source, 2, { partitionKey }),
    ]);
    await flush(low);
    expect(await own.stack.countRecords()).toBe(2);
    expect((await own.stack.states())[0]?.series).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it('is apart for each partition key that a source is spread over', async () => {
    const processor = worker(WHOLE_RANGE);
    await feed(
      processor,
      Array.from({ length: 6 }, (_, n) => streamRecord(n, 'spread', n, { partitionKey: `key-${n % 3}` })),
    );
    await flush(processor);
    expect((await own.stack.states()).map(({ series }) => series).sort()).toEqual(
      [0, 1, 2].map((n) => JSON.stringify(['spread', `key-${n}`])),
    );
    expect(await own.stack.countRecords()).toBe(6);
  });
});
