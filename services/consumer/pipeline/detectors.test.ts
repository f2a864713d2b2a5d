import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createDetector } from '../../detectors/registry.ts';
import { TestStack } from '../../testkit/stack.ts';
import { replay, streamRecord, testPipeline, WHOLE_RANGE } from './fixtures.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
});
afterAll(() => stack.close());

describe('the detectors that ship', () => {
  it('score in the consumer as they do offline, though their states went through the table half way', async () => {
    // Past the time that `adaptive` learns; a spike behind the handover.
    const records = Array.from({ length: 2_600 }, (_, n) =>
      streamRecord(n, 'boiler', n === 2_500 ? 5_000 : 50 + ((n * 7_919) % 101) / 10),
    );
    const [champion, challengers] = [createDetector('adaptive'), [createDetector('threshold')]];
    const { signal } = new AbortController();
    for (const half of [records.slice(0, 1_300), records.slice(1_300)]) {
      const { pipeline, close } = testPipeline(stack.dynamodb, stack.resources, { champion, challengers });
      const processor = pipeline.open({ hashKeyRange: WHOLE_RANGE });
      for (let n = 0; n < half.length; n += 500) {
        await processor.process(half.slice(n, n + 500), signal, () => {});
      }
      await processor.flush(signal, () => {});
      close();
    }
    const { verdicts } = replay(records, createDetector('adaptive'));
    const items = await stack.records();
    expect(items).toHaveLength(records.length);
    for (const { id, anomaly_score, is_anomaly, detection_method } of items) {
      const { score, isAnomaly } = verdicts.get(String(id)) ?? {};
      expect({ anomaly_score, is_anomaly, detection_method }).toEqual({
        anomaly_score: score,
        is_anomaly: isAnomaly,
        detection_method: 'adaptive',
      });
    }
    expect(items.find(({ id }) => id === 'id-2500')).toMatchObject({ is_anomaly: true });
  });
});
