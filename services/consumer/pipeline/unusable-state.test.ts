import { type AttributeValue, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import { type PipelineOptions, replay, streamRecord, testPipeline, WHOLE_RANGE } from './fixtures.ts';

const own = ownStack();

/** What a worker that has just taken the shard makes of records, one a minute. @returns the states that it could not use. */
async function take(numbers: readonly number[], options: PipelineOptions = {}): Promise<string[]> {
  const { pipeline, close, registry } = testPipeline(own.stack.dynamodb, own.stack.resources, options);
  own.onEnd(close);
  const processor = pipeline.open({ hashKeyRange: WHOLE_RANGE });
  const { signal } = new AbortController();
  const records = numbers.map((n) => ({
    ...streamRecord(n, 's', n),
    arrivedAt: 1_700_000_040_000 + n * 60_000,
  }));
  await processor.process(records, signal, () => {});
  await processor.flush(signal, () => {});
  const resets = await registry.getSingleMetric('weir_consumer_state_resets_total')?.get();
  return (resets?.values ?? []).map(({ labels }) => String(labels.part));
}

async function spoil(name: 'watermark' | 'rollup', value: AttributeValue | undefined): Promise<void> {
  await own.stack.dynamodb.send(
    new UpdateItemCommand({
      TableName: own.stack.resources.stateTable,
      Key: { series: { S: 's' }, part: { S: 'state' } },
      UpdateExpression: value ? 'SET #a = :v' : 'REMOVE #a',
      ExpressionAttributeNames: { '#a': name },
      ...(value ? { ExpressionAttributeValues: { ':v': value } } : {}),
    }),
  );
}

const minute = { S: '2023-11-14T22:15Z' };
const one = { N: '1' };
const figures = { count: one, sum: one, min: one, max: one, score_sum: one, anomalies: one };
const scores = async () =>
  Object.fromEntries((await own.stack.records()).map(({ id, anomaly_score }) => [id, anomaly_score]));
const replayed = (numbers: readonly number[]) =>
  Object.fromEntries(
    Array.from(replay(numbers.map((n) => streamRecord(n, 's', n))).verdicts, ([id, { score }]) => [
      id,
      score,
    ]),
  );

describe('a stored state that can not be used', () => {
  it.each<[string, AttributeValue | undefined]>([
    ['a number', { N: '5' }],
    ['bytes', { B: Buffer.from('shardId-000000000000/001:0/001:0') }],
    ['a text that is no position, and sorts behind all', { S: 'zzz' }],
    ['nothing', undefined],
  ])('begins anew and is kept from then on, with %s for a watermark', async (_, watermark) => {
    await take([1, 2]);
    await spoil('watermark', watermark);
    expect(await take([3, 4])).toEqual(['watermark']);
    expect(await take([5])).toEqual([]);
    expect(await scores()).toEqual({ ...replayed([1, 2]), ...replayed([3, 4, 5]) });
  });

  it('does not let a worker that has lost the shard write over the one that began anew', async () => {
    await take([1]);
    await spoil('watermark', { N: '5' });
    const { pipeline, close } = testPipeline(own.stack.dynamodb, own.stack.resources);
    own.onEnd(close);
    const zombie = pipeline.open({ hashKeyRange: WHOLE_RANGE });
    const { signal } = new AbortController();
    await zombie.process([streamRecord(2, 's', 2)], signal, () => {});
    await take([2, 3]);
    const before = await own.stack.states();
    await zombie.flush(signal, () => {});
    expect(await own.stack.states()).toEqual(before);
  });

  it.each<[string, AttributeValue]>([
    ['is no map', { S: 'x' }],
    ['is empty', { M: {} }],
    ['has a minute that is no time', { M: { ...figures, minute: { S: 'yesterday' } } }],
    ['has a figure that is no number', { M: { ...figures, minute, sum: { S: 'much' } } }],
    ['counts nothing', { M: { ...figures, minute, count: { N: '0' } } }],
  ])('loses its open minute and no more, when that %s', async (_, rollup) => {
    const options = { store: 'anomalies' } as const;
    await take([1, 2], options);
    await spoil('rollup', rollup);
    expect(await take([3, 4, 5], options)).toEqual(['rollup']);
    const rows = await own.stack.states();
    const counts = rows.map((row) => (row.part === 'state' ? row.rollup : row) as { count: number });
    // Of 1, 3, 4 and of 5, which is open; 2 was in the state.
    expect(counts.map(({ count }) => count)).toEqual([1, 1, 1, 1]);
    const chain = rows.find(({ part }) => part === 'state')?.['detector:chain@1'];
    expect(Number(Buffer.from(chain as Uint8Array).toString())).toBe(replayed([1, 2, 3, 4, 5])['id-5']);
  });
});
