import { DeleteItemCommand } from '@aws-sdk/client-dynamodb';
import { beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import {
  type PipelineOptions,
  replay,
  streamRecord,
  testPipeline,
  WHOLE_RANGE,
} from '../pipeline/fixtures.ts';

const DAY_MS = 86_400_000;
/** As `testPipeline` has it. */
const TTL_DAYS = 90;

const own = ownStack();
let clock: VirtualClock;
beforeEach(async () => {
  clock = new VirtualClock();
});

/** What a worker that has just taken the shard makes of the n-th record. */
async function take(n: number, options: PipelineOptions = {}): Promise<void> {
  const { pipeline, close } = testPipeline(own.stack.dynamodb, own.stack.resources, { clock, ...options });
  own.onEnd(close);
  const processor = pipeline.open({ hashKeyRange: WHOLE_RANGE });
  const { signal } = new AbortController();
  await processor.process([streamRecord(n, 's', n)], signal, () => {});
  await processor.flush(signal, () => {});
}

const expiresAt = async () => (await own.stack.states()).map(({ expires_at }) => expires_at);
const inDays = (days: number) => Math.floor((clock.now() + days * DAY_MS) / 1000);
const scoreOf = async (n: number) =>
  (await own.stack.records()).find(({ id }) => id === `id-${n}`)?.anomaly_score;
const replayed = (...numbers: number[]) =>
  replay(numbers.map((n) => streamRecord(n, 's', n))).verdicts.get(`id-${numbers.at(-1)}`)?.score;

describe('the state of a source', () => {
  it('expires some time after its last write', async () => {
    await take(1);
    expect(await expiresAt()).toEqual([inDays(TTL_DAYS)]);
    clock.advance(80 * DAY_MS);
    await take(2);
    expect(await expiresAt()).toEqual([inDays(TTL_DAYS)]);
  });

  it('does not expire by a clock that is years behind while its records arrive', async () => {
    const { arrivedAt } = streamRecord(1, 's', 1);
    clock = new VirtualClock(arrivedAt - 3 * 365 * DAY_MS);
    await take(1);
    expect(await expiresAt()).toEqual([Math.floor((arrivedAt + TTL_DAYS * DAY_MS) / 1000)]);
  });

  it('counts for as long as it is there, and begins anew when it is not', async () => {
    await take(1);
    clock.advance(100 * DAY_MS);
    // DynamoDB deletes within days of the time, not at it.
    await take(2);
    expect(await scoreOf(2)).toBe(replayed(1, 2));
    const Key = { series: { S: 's' }, part: { S: 'state' } };
    await own.stack.dynamodb.send(new DeleteItemCommand({ TableName: own.stack.resources.stateTable, Key }));
    await take(3);
    expect(await scoreOf(3)).toBe(replayed(3));
    expect(await scoreOf(3)).not.toBe(replayed(1, 2, 3));
  });

  it('does not expire where it has the only copy of a minute, also if it would have before', async () => {
    await take(1);
    await take(2, { store: 'anomalies' });
    expect(await expiresAt()).toEqual([undefined]);
    // No longer written, and still the only one.
    await take(3, { store: 'all' });
    expect(await expiresAt()).toEqual([undefined]);
    expect(await own.stack.states()).toMatchObject([{ rollup: { count: 1, sum: 2 } }]);
  });
});
