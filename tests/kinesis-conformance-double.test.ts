import { afterAll, beforeAll, describe } from 'vitest';
import { kinesisConformance } from '../services/testkit/kinesis-conformance/suite.ts';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';

describe('the Kinesis double', () => {
  let double: KinesisDouble;
  beforeAll(async () => {
    // The limits of calls to the control plane would only make the suite slow; limits.test.ts has them.
    const none = Number.POSITIVE_INFINITY;
    double = await startKinesisDouble({ limits: { controlPerSecond: none, describePerSecond: none } });
  });
  afterAll(() => double.stop());
  kinesisConformance({ endpoint: () => double.endpoint, differences: {}, skipped: {} });
});
