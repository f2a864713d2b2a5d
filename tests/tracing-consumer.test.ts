import { afterEach, beforeEach, expect, inject, it, vi } from 'vitest';
import { type OtlpCollector, startOtlpCollector } from '../services/testkit/otlp-collector.ts';
import { TestStack } from '../services/testkit/stack.ts';

let stack: TestStack;
let collector: OtlpCollector;

beforeEach(async () => {
  collector = await startOtlpCollector();
  stack = await TestStack.create(
    { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') },
    { shards: 1 },
  );
});
afterEach(async () => {
  await stack.close();
  await collector.stop();
});

it('one trace from the request to the item; nothing for a trace that nobody keeps; metrics for CloudWatch', async () => {
  const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint };
  const producer = await stack.start('producer', traced);
  const consumer = await stack.start('consumer', {
    ...traced,
    STARTING_POSITION: 'TRIM_HORIZON',
    METRICS_EMF: 'true',
  });
  const send = (flags: string) =>
    fetch(`http://127.0.0.1:${producer.ports.port}/send`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-${flags}`,
      },
      body: '{"amount":1}',
    });
  expect((await send('01')).status).toBe(200);
  expect((await send('00')).status).toBe(200);
  await stack.put([{ key: 'k', data: '{"amount":1,"traceparent":"01-hostile"}' }]);
  await vi.waitFor(async () => expect(await stack.countRecords()).toBe(3), 15_000);
  expect(await producer.stop()).toMatchObject({ code: 0 });
  expect(await consumer.stop()).toMatchObject({ code: 0 });
  const sent = collector.spans.find(({ name }) => name === 'POST /send');
  const processed = collector.spans.filter(({ name }) => name === 'process event');
  expect(processed).toMatchObject([{ traceId: 'ab'.repeat(16), parentSpanId: sent?.spanId }]);
  const metrics = consumer.lastLines().filter((line) => line.includes('"CloudWatchMetrics"'));
  expect(metrics.map((line) => JSON.parse(line).ProcessedRecords)).toEqual([3]);
});
