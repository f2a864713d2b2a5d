import { DescribeStreamSummaryCommand } from '@aws-sdk/client-kinesis';
import { afterEach, expect, it } from 'vitest';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type KinesisDouble, startKinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { AwsPool } from './aws-pool.ts';

let double: KinesisDouble | undefined;
afterEach(() => double?.stop());

it('shares clients of a region and an endpoint, and ends those that nobody needs any more', async () => {
  double = await startKinesisDouble();
  double.createStream('a', 1);
  const pool = new AwsPool({
    region: 'eu-west-1',
    kinesisEndpoint: double.endpoint,
    credentials: EMULATOR_CREDENTIALS,
  });
  const own = pool.for({ name: 'a' });
  expect(pool.for({ name: 'b', region: 'eu-west-1' })).toBe(own);
  expect(pool.for({ arn: 'arn:aws:kinesis:eu-west-1:000000000000:stream/c' })).toBe(own);
  const other = pool.for({ name: 'a', region: 'us-east-1' });
  expect(other).not.toBe(own);
  pool.keepOnly([{ name: 'b' }]);
  expect(pool.for({ name: 'a' })).toBe(own);
  await own.kinesis.send(new DescribeStreamSummaryCommand({ StreamName: 'a' }));
  expect(pool.for({ name: 'a', region: 'us-east-1' })).not.toBe(other);
  pool.close();
  expect(pool.for({ name: 'a' })).not.toBe(own);
  pool.close();
});
