import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pLimit from 'p-limit';
import { pino } from 'pino';
import { createConsumerMetrics } from '../services/consumer/metrics.ts';
import { decode, eventTime } from '../services/consumer/pipeline/decode.ts';
import { Pipeline } from '../services/consumer/pipeline/pipeline.ts';
import type { StreamRecord } from '../services/consumer/record.ts';
import { BatchWriter } from '../services/consumer/sinks/batch-writer.ts';
import { DeadLetterSink } from '../services/consumer/sinks/dead-letters.ts';
import { createDetector } from '../services/detectors/registry.ts';
import { createDynamoDBClient } from '../services/shared/aws.ts';
import { systemClock as clock } from '../services/shared/clock.ts';
import { createRegistry } from '../services/shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../services/testkit/emulators.ts';
import { type BenchCase, measure } from './report.ts';

const RECORDS = 100_000;
const SLICE = 500;

/** The consumer's pipeline on one core: without writes, and with every result written to a store that answers at once. */
export async function benchPipeline(): Promise<BenchCase[]> {
  const records = makeRecords(RECORDS);
  const detector = createDetector('threshold');
  const score = () => {
    let anomalies = 0;
    for (const record of records) {
      const { event, timestamp } = decode(record, 'bench');
      const { source, amount } = event;
      if (detector.score(detector.initial(), { source, amount, timestamp: eventTime(timestamp) }).isAnomaly)
        anomalies++;
    }
    if (anomalies === 0) throw new Error('the detector saw nothing');
  };
  score(); // warm
  const cases = [await measure('decode, validate, detect', RECORDS, score)];

  const store = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.setHeader('content-type', 'application/x-amz-json-1.0').end('{}'));
  });
  await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
  const client = createDynamoDBClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    dynamodbEndpoint: `http://127.0.0.1:${(store.address() as AddressInfo).port}`,
  });
  const log = pino({ level: 'silent' });
  const metrics = createConsumerMetrics(createRegistry('bench'));
  const writer = { client, limit: pLimit(16), clock, random: Math.random, log, metrics };
  const pipeline = new Pipeline({
    stream: 'bench',
    detector,
    records: new BatchWriter({ ...writer, table: 'records' }),
    deadLetters: new DeadLetterSink(new BatchWriter({ ...writer, table: 'dead-letters' }), 'bench'),
    clock,
    log,
    metrics,
  });
  const write = async () => {
    const { signal } = new AbortController();
    for (let i = 0; i < records.length; i += SLICE) {
      await pipeline.process(records.slice(i, i + SLICE), signal, () => {});
    }
  };
  // The store runs in this process, so its share of the CPU time is in the figure: an upper bound.
  cases.push(await measure('the same, each result written (store in the same process)', RECORDS, write));
  client.destroy();
  store.closeAllConnections();
  await new Promise((resolve) => store.close(resolve));
  return cases;
}

function makeRecords(count: number): StreamRecord[] {
  return Array.from({ length: count }, (_, n) => ({
    shardId: 'shardId-000000000000',
    sequenceNumber: String(49_000_000_000_000 + n),
    partitionKey: `sensor-${n % 100}`,
    arrivedAt: 1_790_000_000_000 + n,
    data: Buffer.from(
      JSON.stringify({
        source: `sensor-${n % 100}`,
        amount: (n * 7919) % 1_050,
        timestamp: '2026-01-02T03:04:05.678Z',
        note: 'as long as a usual event',
        ingestion_timestamp: '2026-01-02T03:04:05.678Z',
        source_ip: '10.0.0.1',
        request_id: `01890a5d-ac96-774b-bcce-${String(n).padStart(12, '0')}`,
      }),
    ),
  }));
}
