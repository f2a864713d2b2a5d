import {
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  PutRecordCommand,
  UpdateShardCountCommand,
} from '@aws-sdk/client-kinesis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKinesisClient } from '../../shared/aws.ts';
import { EMULATOR_CREDENTIALS } from '../emulators.ts';
import { type KinesisDouble, startKinesisDouble } from './kinesis-double.ts';
import { VirtualClock } from './virtual-clock.ts';

const STREAM = 'stream';
const HOUR_MS = 3_600_000;
const CHANGE_MS = 30_000;

let clock: VirtualClock;
let double: KinesisDouble;
let client: ReturnType<typeof createKinesisClient>;

beforeEach(async () => {
  clock = new VirtualClock();
  double = await startKinesisDouble({ clock, changeMs: CHANGE_MS });
  double.createStream(STREAM, 2);
  client = createKinesisClient({
    region: 'eu-west-1',
    kinesisEndpoint: double.endpoint,
    credentials: EMULATOR_CREDENTIALS,
    maxAttempts: 1,
  });
});
afterEach(async () => {
  client.destroy();
  await double.stop();
});

const scaleTo = (TargetShardCount: number) =>
  client.send(
    new UpdateShardCountCommand({ StreamName: STREAM, TargetShardCount, ScalingType: 'UNIFORM_SCALING' }),
  );

describe('the time of the double', () => {
  it('gives ten reshards in any 24 hours, each under way for a while', async () => {
    const start = clock.now();
    for (let call = 0; call < 10; call++) {
      await scaleTo(call % 2 === 0 ? 3 : 2);
      const { StreamDescriptionSummary: during } = await client.send(
        new DescribeStreamSummaryCommand({ StreamName: STREAM }),
      );
      expect(during?.StreamStatus).toBe('UPDATING');
      await expect(scaleTo(3)).rejects.toMatchObject({ name: 'ResourceInUseException' });
      clock.advance(HOUR_MS);
    }
    await expect(scaleTo(3)).rejects.toMatchObject({ name: 'LimitExceededException' });
    clock.advance(start + 24 * HOUR_MS - clock.now() + 1);
    await scaleTo(3);
  });

  it('lets iterators expire after five minutes, and records after 24 hours', async () => {
    await client.send(
      new PutRecordCommand({ StreamName: STREAM, PartitionKey: 'a', Data: Buffer.from('1') }),
    );
    expect(double.records(STREAM)).toHaveLength(1);
    const { ShardIterator } = await client.send(
      new GetShardIteratorCommand({
        StreamName: STREAM,
        ShardId: 'shardId-000000000000',
        ShardIteratorType: 'TRIM_HORIZON',
      }),
    );
    clock.advance(299_000);
    await client.send(new GetRecordsCommand({ ShardIterator }));
    clock.advance(2_000);
    await expect(client.send(new GetRecordsCommand({ ShardIterator }))).rejects.toMatchObject({
      name: 'ExpiredIteratorException',
    });
    clock.advance(24 * HOUR_MS);
    expect(double.records(STREAM)).toHaveLength(0);
  });
});
