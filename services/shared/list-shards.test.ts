import { expect, it, onTestFinished } from 'vitest';
import { EMULATOR_CREDENTIALS } from '../testkit/emulators.ts';
import { startKinesisDouble } from '../testkit/kinesis-double/kinesis-double.ts';
import { createKinesisClient } from './aws.ts';
import { listShards } from './list-shards.ts';

it('ends when a listing would not', async () => {
  const double = await startKinesisDouble();
  onTestFinished(() => double.stop());
  const client = createKinesisClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    kinesisEndpoint: double.endpoint,
  });
  onTestFinished(() => client.destroy());
  double.faults.rule(() => ({ kind: 'answer', text: '{"Shards":[],"NextToken":"again"}' }));
  await expect(listShards(client, 'stream')).rejects.toMatchObject({ code: 'listing-endless' });
});
