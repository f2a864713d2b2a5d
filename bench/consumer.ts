import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { takeSlice, userRecords } from '../services/consumer/fetch/user-records.ts';
import { createConsumerMetrics } from '../services/consumer/metrics.ts';
import { createPipeline } from '../services/consumer/pipeline/create-pipeline.ts';
import { decode, eventTime } from '../services/consumer/pipeline/decode.ts';
import type { StreamRecord } from '../services/consumer/record.ts';
import { toItem } from '../services/consumer/sinks/item.ts';
import { createDetector } from '../services/detectors/registry.ts';
import { createDynamoDBClient } from '../services/shared/aws.ts';
import { systemClock as clock } from '../services/shared/clock.ts';
import { Aggregator } from '../services/shared/kpl/aggregate.ts';
import { createRegistry } from '../services/shared/metrics.ts';
import { EMULATOR_CREDENTIALS, startDynalite } from '../services/testkit/emulators.ts';
import { launch } from '../services/testkit/processes.ts';
import { createTables } from '../services/testkit/provision.ts';
import { type BenchCase, measure } from './report.ts';

const SLICE = 500;
const SOURCES = 100;
/** User records in an aggregate. */
const AGGREGATE = 100;
/** Records over which allocation is measured: few enough that no garbage is collected in between. */
const ALLOCATION_SAMPLE = 2_000;
const PROCESSED_AT = '2026-01-02T03:04:05.678Z';

/**
 * The consumer's work on one core: records of one shard, 230 bytes each, as GetRecords gave them. Without writes by
 * stage, then whole, each result written to a store that answers at once, and to dynalite; both in other processes.
 */
export async function benchConsumer(only = ''): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  const add = async (name: string, records: number, work: () => Promise<void> | void) => {
    if (!name.includes(only)) return;
    await work(); // warm
    const found = await measure(name, records, work);
    cases.push({ ...found, recordsPerCpuSecond: 10_000 / found.cpuSecondsPer10k });
  };

  const plain = makeRecords(200_000);
  const aggregated = aggregate(plain);
  for (const [layout, records] of [
    ['plain', plain],
    ['aggregated', aggregated],
  ] as const) {
    await add(`${layout}: de-aggregate`, plain.length, () => {
      let count = 0;
      for (const record of records) for (const _ of split(record)) count++;
      if (count !== plain.length) throw new Error(`${count} of ${plain.length} records`);
    });
    await add(`${layout}: de-aggregate, parse, detect`, plain.length, () => score(records, false));
    await add(`${layout}: de-aggregate, parse, detect, make items`, plain.length, () => score(records, true));
  }
  for (const found of cases) {
    const sample = found.name.startsWith('plain')
      ? plain.slice(0, ALLOCATION_SAMPLE)
      : aggregated.slice(0, ALLOCATION_SAMPLE / AGGREGATE);
    found.allocatedBytesPerRecord =
      allocation(() => score(sample, found.name.includes('items'))) / ALLOCATION_SAMPLE;
  }

  const { process: stub, ready: port } = await launch({
    name: 'dynamodb-stub',
    args: [fileURLToPath(new URL('dynamodb-stub.ts', import.meta.url))],
    env: {},
    ready: (line) => /^stub listening on (\d+)$/.exec(line)?.[1],
  });
  try {
    const endpoint = `http://127.0.0.1:${port}`;
    await add('plain: each result written to a store stub', plain.length, () => write(plain, endpoint));
    await add('aggregated: each result written to a store stub', plain.length, () =>
      write(aggregated, endpoint),
    );
  } finally {
    await stub.stop();
  }
  const few = plain.slice(0, 20_000);
  if ('plain: each result written to dynalite'.includes(only)) {
    const dynalite = await startDynalite();
    try {
      const dynamodb = createDynamoDBClient(client(dynalite.endpoint));
      await createTables(dynamodb, { recordsTable: 'records', deadLetterTable: 'dead-letters' });
      dynamodb.destroy();
      await add('plain: each result written to dynalite', few.length, () => write(few, dynalite.endpoint));
    } finally {
      await dynalite.stop();
    }
  }
  return cases;
}

const client = (dynamodbEndpoint: string) => ({
  region: 'us-east-1',
  credentials: EMULATOR_CREDENTIALS,
  dynamodbEndpoint,
});

/** By the default configuration. */
function split(record: StreamRecord): Iterable<StreamRecord> {
  return userRecords(record, { corrupt: 'quarantine', stray: 'accept' }, undefined);
}

function score(records: readonly StreamRecord[], items: boolean): void {
  const detector = createDetector('threshold', { threshold: { threshold: 1000 } });
  let anomalies = 0;
  let bytes = 0;
  for (const kinesisRecord of records) {
    for (const record of split(kinesisRecord)) {
      const decoded = decode(record, 'bench');
      const { source, amount } = decoded.event;
      const event = { source, amount, timestamp: eventTime(decoded.timestamp) };
      const verdict = detector.score(detector.initial(), event);
      if (verdict.isAnomaly) anomalies++;
      if (items) bytes += toItem(decoded, verdict, PROCESSED_AT).json.length;
    }
  }
  if (anomalies === 0 || (items && bytes === 0)) throw new Error('the detector saw nothing');
}

async function write(records: readonly StreamRecord[], endpoint: string): Promise<void> {
  const dynamodb = createDynamoDBClient(client(endpoint));
  const metrics = createConsumerMetrics(createRegistry('bench'));
  const { pipeline, close } = await createPipeline(
    {
      STREAM_NAME: 'bench',
      RECORDS_TABLE: 'records',
      DEAD_LETTER_TABLE: 'dead-letters',
      DETECTOR: 'threshold',
      DETECTOR_PARAMS: {},
      THRESHOLD: 1000,
      STATE_TTL_DAYS: 90,
      WRITE_CONCURRENCY: 16,
      WRITE_RETRY_MS: 30_000,
      STATE_TABLE: 'state',
      STORE: 'all',
      ITEM_DAYS: 0,
      CHALLENGERS: [],
      CHALLENGER_LIMIT_MICROS: 100,
      DEDUPE_WINDOW: 'auto',
      STATE_CACHE_BYTES: 128 * 1024 * 1024,
    },
    { dynamodb, clock, random: Math.random, log: pino({ level: 'silent' }), metrics },
  );
  const processor = pipeline.open({ hashKeyRange: { starting: '0', ending: String(2n ** 128n - 1n) } });
  const { signal } = new AbortController();
  const userRecordsOf = function* () {
    for (const record of records) yield* split(record);
  };
  const all = userRecordsOf();
  for (let slice = takeSlice(all, SLICE); slice.length > 0; slice = takeSlice(all, SLICE)) {
    await processor.process(slice, signal, () => {});
  }
  await processor.flush(signal, () => {});
  processor.close();
  close();
  dynamodb.destroy();
}

/** Bytes of heap that `work` allocates. */
function allocation(work: () => void): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const before = process.memoryUsage().heapUsed;
  work();
  return process.memoryUsage().heapUsed - before;
}

function makeRecords(count: number): StreamRecord[] {
  return Array.from({ length: count }, (_, n) => ({
    shardId: 'shardId-000000000000',
    sequenceNumber: `49680519588719230298980224176598143969240665${String(n).padStart(12, '0')}`,
    partitionKey: `sensor-${n % SOURCES}`,
    arrivedAt: 1_790_000_000_000 + n,
    data: Buffer.from(
      JSON.stringify({
        source: `sensor-${n % SOURCES}`,
        amount: (n * 7919) % 1_050,
        timestamp: PROCESSED_AT,
        note: 'as long as a usual event',
        ingestion_timestamp: PROCESSED_AT,
        source_ip: '10.0.0.1',
        request_id: `01890a5d-ac96-774b-bcce-${String(n).padStart(12, '0')}`,
      }),
    ),
  }));
}

function aggregate(records: readonly StreamRecord[]): StreamRecord[] {
  const aggregates: StreamRecord[] = [];
  for (let i = 0; i < records.length; i += AGGREGATE) {
    const aggregator = new Aggregator();
    for (const record of records.slice(i, i + AGGREGATE)) aggregator.add(record);
    const [first] = records.slice(i);
    if (first) aggregates.push({ ...first, data: aggregator.encode() });
  }
  return aggregates;
}
