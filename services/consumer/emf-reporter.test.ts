import { expect, it } from 'vitest';
import type { Clock } from '../shared/clock.ts';
import { createRegistry } from '../shared/metrics.ts';
import { EmfReporter } from './emf-reporter.ts';
import { createConsumerMetrics } from './metrics.ts';

it('tells each minute what it brought, and at the stop what is left', async () => {
  const metrics = createConsumerMetrics(createRegistry('test'));
  const stopping = new AbortController();
  const minutes = [
    () => {
      metrics.records.inc({ outcome: 'stored' }, 90);
      metrics.records.inc({ outcome: 'dead_letter' }, 10);
      metrics.records.inc({ outcome: 'duplicate' }, 5);
      metrics.sliceSeconds.observe(0.01);
      metrics.sliceSeconds.observe(0.03);
    },
    () => {},
    () => {
      metrics.records.inc({ outcome: 'rolled_up' }, 7);
      metrics.sliceSeconds.observe(0.005);
      stopping.abort();
    },
  ];
  const clock: Clock = {
    now: () => 1_795_000_000_000,
    monotonic: () => 0,
    sleep: async () => minutes.shift()?.(),
  };
  const lines: string[] = [];
  const emit = (line: string) => lines.push(line);
  await new EmfReporter({ stream: 's', metrics, clock, emit }).run(stopping.signal);
  const told = lines.map((line) => JSON.parse(line));
  expect(told).toMatchObject([
    { StreamName: 's', ProcessedRecords: 100, ProcessingLatency: 20, ErrorRate: 10 },
    { ProcessedRecords: 0, ProcessingLatency: 0, ErrorRate: 0 },
    { ProcessedRecords: 7, ProcessingLatency: 5, ErrorRate: 0 },
  ]);
  expect(told[0]._aws.CloudWatchMetrics[0]).toMatchObject({
    Namespace: 'KinesisECRML',
    Dimensions: [['StreamName']],
    Metrics: [{ Name: 'ProcessedRecords', Unit: 'Count' }],
  });
});
