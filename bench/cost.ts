import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { createConsumerMetrics } from '../services/consumer/metrics.ts';
import { createPipeline } from '../services/consumer/pipeline/create-pipeline.ts';
import type { StreamRecord } from '../services/consumer/record.ts';
import { createDynamoDBClient } from '../services/shared/aws.ts';
import { type Clock, systemClock } from '../services/shared/clock.ts';
import { createRegistry } from '../services/shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../services/testkit/emulators.ts';
import { type BenchCase, measure } from './report.ts';

const EVENTS_PER_SECOND = 1_000;
const SOURCES = 500;
const SECONDS = 300;
const ANOMALY_SHARE = 0.01;
const WRITE_UNIT_BYTES = 1_024;
const READ_UNIT_BYTES = 4_096;

type Attribute = { [type: string]: unknown };
type Item = Record<string, Attribute>;

interface Setup {
  store: 'all' | 'anomalies';
  detector: string;
  dedupe: number | 'auto';
  checkpointSeconds: number;
}

const SETUPS: Setup[] = [
  { store: 'all', detector: 'threshold', dedupe: 'auto', checkpointSeconds: 1 },
  { store: 'all', detector: 'adaptive', dedupe: 'auto', checkpointSeconds: 1 },
  { store: 'all', detector: 'adaptive', dedupe: 'auto', checkpointSeconds: 10 },
  { store: 'anomalies', detector: 'threshold', dedupe: 'auto', checkpointSeconds: 1 },
  { store: 'anomalies', detector: 'threshold', dedupe: 'auto', checkpointSeconds: 10 },
  { store: 'anomalies', detector: 'threshold', dedupe: 32, checkpointSeconds: 10 },
  { store: 'anomalies', detector: 'adaptive', dedupe: 'auto', checkpointSeconds: 10 },
  { store: 'anomalies', detector: 'adaptive', dedupe: 'auto', checkpointSeconds: 60 },
];

/**
 * Request units of DynamoDB for a million events, counted by its rules for sizes (Developer Guide, "DynamoDB item sizes and
 * formats", "Read and write operations"): 1,000 events/s of 500 sources over five minutes, 1 % of them anomalies. Writes of
 * the `anomalies` index count, those of leases don't.
 */
export async function benchCost(only = ''): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  for (const setup of SETUPS) {
    const { store, detector, dedupe, checkpointSeconds } = setup;
    const name = `STORE=${store}, ${detector}, DEDUPE_WINDOW=${dedupe}, checkpoint each ${checkpointSeconds} s`;
    if (name.includes(only)) cases.push(await run(name, setup));
  }
  return cases;
}

async function run(name: string, setup: Setup): Promise<BenchCase> {
  const meter = { write: 0, read: 0 };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      count(meter, String(request.headers['x-amz-target']), JSON.parse(Buffer.concat(chunks).toString()));
      response.end('{"UnprocessedItems":{}}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const dynamodb = createDynamoDBClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    dynamodbEndpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  const clock: Clock = systemClock;
  const { pipeline, close } = await createPipeline(
    {
      STREAM_NAME: 'bench',
      RECORDS_TABLE: 'records',
      STATE_TABLE: 'state',
      DEAD_LETTER_TABLE: 'dead-letters',
      DETECTOR: setup.detector,
      DETECTOR_PARAMS: {},
      THRESHOLD: 1000,
      CHALLENGERS: [],
      CHALLENGER_LIMIT_MICROS: 100,
      STORE: setup.store,
      DEDUPE_WINDOW: setup.dedupe,
      STATE_CACHE_BYTES: 128 * 1024 * 1024,
      ITEM_DAYS: 0,
      STATE_TTL_DAYS: 90,
      WRITE_CONCURRENCY: 16,
      WRITE_RETRY_MS: 30_000,
    },
    {
      dynamodb,
      clock,
      random: Math.random,
      log: pino({ level: 'silent' }),
      metrics: createConsumerMetrics(createRegistry('bench')),
    },
  );
  const processor = pipeline.open({ hashKeyRange: { starting: '0', ending: String(2n ** 128n - 1n) } });
  const { signal } = new AbortController();
  const events = EVENTS_PER_SECOND * SECONDS;
  try {
    const found = await measure(name, events, async () => {
      for (let second = 0; second < SECONDS; second++) {
        await processor.process(eventsOf(second), signal, () => {});
        if ((second + 1) % setup.checkpointSeconds === 0) await processor.flush(signal, () => {});
      }
      await processor.flush(signal, () => {});
    });
    const perMillion = 1_000_000 / events;
    return {
      ...found,
      writeUnitsPerMillion: meter.write * perMillion,
      readUnitsPerMillion: meter.read * perMillion,
    };
  } finally {
    processor.close();
    close();
    dynamodb.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** The events of one second: each source in turn, amounts of a daily kind, now and then far off. */
function eventsOf(second: number): StreamRecord[] {
  const at = 1_790_000_000_000 + second * 1_000;
  const time = new Date(at).toISOString();
  return Array.from({ length: EVENTS_PER_SECOND }, (_, i) => {
    const n = second * EVENTS_PER_SECOND + i;
    const source = `sensor-${n % SOURCES}`;
    // By a golden-ratio sequence, so that every source has its share.
    const far = (n * 0.618_033_988_75) % 1 < ANOMALY_SHARE;
    return {
      shardId: 'shardId-000000000000',
      sequenceNumber: `49680519588719230298980224176598143969240665${String(n).padStart(12, '0')}`,
      partitionKey: source,
      arrivedAt: at,
      data: Buffer.from(
        JSON.stringify({
          source,
          amount: far ? 5_000 : 400 + (n % 100),
          timestamp: time,
          note: 'as long as a usual event',
          ingestion_timestamp: time,
          source_ip: '10.0.0.1',
          request_id: `01890a5d-ac96-774b-bcce-${String(n).padStart(12, '0')}`,
        }),
      ),
    };
  });
}

function count(meter: { write: number; read: number }, target: string, body: Record<string, unknown>): void {
  if (target.endsWith('.BatchWriteItem')) {
    for (const requests of Object.values(
      body.RequestItems as Record<string, { PutRequest: { Item: Item } }[]>,
    )) {
      for (const { PutRequest } of requests) {
        const units = Math.ceil(itemBytes(PutRequest.Item) / WRITE_UNIT_BYTES);
        meter.write += PutRequest.Item.anomaly_day ? units * 2 : units;
      }
    }
  } else if (target.endsWith('.UpdateItem')) {
    const { Key, ExpressionAttributeNames, ExpressionAttributeValues } = body as Record<string, Item>;
    const values = Object.entries(ExpressionAttributeNames ?? {}).map(
      ([alias, name]) => [String(name), ExpressionAttributeValues?.[`:${alias.slice(1)}`] ?? {}] as const,
    );
    meter.write += Math.ceil(itemBytes({ ...Key, ...Object.fromEntries(values) }) / WRITE_UNIT_BYTES);
  } else if (target.endsWith('.BatchGetItem')) {
    const [{ Keys }] = Object.values(body.RequestItems as Record<string, { Keys: unknown[] }>) as [
      { Keys: unknown[] },
    ];
    meter.read += Keys.length * Math.ceil(1 / READ_UNIT_BYTES); // none of them is there yet
  }
}

function itemBytes(item: Item): number {
  return Object.entries(item).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + valueBytes(value),
    0,
  );
}

/** Upper ends where the guide says "approximately". */
function valueBytes(value: Attribute): number {
  if (typeof value.S === 'string') return Buffer.byteLength(value.S);
  if (typeof value.B === 'string') return Buffer.byteLength(value.B, 'base64');
  if (typeof value.N === 'string') return Math.ceil(value.N.replace(/\D/g, '').length / 2) + 2;
  if (value.M) return 3 + itemBytes(value.M as Item) + Object.keys(value.M).length;
  if (Array.isArray(value.L))
    return 3 + value.L.reduce((sum: number, v: Attribute) => sum + valueBytes(v) + 1, 0);
  return 1;
}
