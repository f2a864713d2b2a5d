import { type KinesisClient, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { pino } from 'pino';
import { createKinesisClient, createSubscribingClient } from '../../shared/aws.ts';
import type { Clock } from '../../shared/clock.ts';
import { Aggregator } from '../../shared/kpl/aggregate.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type KinesisDouble, startKinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { createStream } from '../../testkit/provision.ts';
import { ScaledClock } from '../../testkit/scaled-clock.ts';
import type { ReadFrom } from '../lineage/lineage.ts';
import { createConsumerMetrics } from '../metrics.ts';
import type { FetchedBatch, StreamRecord } from '../record.ts';
import { ByteBudget } from './byte-budget.ts';
import { FanOutConsumer } from './fan-out-consumer.ts';
import type { FetchMode } from './modes.ts';
import { ShardReader } from './shard-reader.ts';
import type { ShardSourceFactory } from './shard-source.ts';
import { createSources } from './sources.ts';

export const SHARD = 'shardId-000000000000';
export const OTHER_SHARD = 'shardId-000000000001';
export const HORIZON: ReadFrom = { type: 'TRIM_HORIZON' };
export const MIB = 1024 * 1024;
const log = pino({ level: 'silent' });

/** What a reader is tried against, and how the reader reads. */
export interface Subject {
  endpoint: string;
  clock: Clock;
  mode: FetchMode;
  stop(): Promise<void>;
}

/** A double of Kinesis whose time goes fifty times as fast. */
export async function onDouble(
  mode: FetchMode,
  options: object = {},
): Promise<Subject & { double: KinesisDouble }> {
  const clock = new ScaledClock(50);
  const double = await startKinesisDouble({ clock, ...options });
  return { endpoint: double.endpoint, clock, mode, double, stop: () => double.stop() };
}

export interface ReaderOptions {
  budget?: ByteBudget;
  register?: boolean;
  stallMs?: number;
  renewAfterMs?: number;
  shardId?: string;
  /** Those of the process, where several readers are of one. */
  sources?: ShardSourceFactory;
}

/** Readers of a stream of two shards on a subject. */
export class Trial<S extends Subject = Subject> {
  readonly subject: S;
  readonly client: KinesisClient;
  readonly stream = `reader-${Math.random().toString(36).slice(2)}`;
  readonly #subscriber: KinesisClient;
  readonly #readers: ShardReader[] = [];

  static async begin<S extends Subject>(subject: S): Promise<Trial<S>> {
    const trial = new Trial(subject);
    await createStream(trial.client, trial.stream, 2);
    return trial;
  }

  private constructor(subject: S) {
    this.subject = subject;
    const options = {
      region: 'us-east-1',
      credentials: EMULATOR_CREDENTIALS,
      kinesisEndpoint: subject.endpoint,
      maxAttempts: 1,
    };
    this.client = createKinesisClient(options);
    this.#subscriber = createSubscribingClient(options);
  }

  async end(): Promise<void> {
    for (const reader of this.#readers) reader.close();
    this.client.destroy();
    this.#subscriber.destroy();
    await this.subject.stop();
  }

  sourcesOf({ register = true, stallMs, renewAfterMs }: ReaderOptions = {}): ShardSourceFactory {
    const { client, stream } = this;
    const { clock, mode } = this.subject;
    const consumer = new FanOutConsumer({ client, stream, consumer: 'app', register, clock });
    return createSources(
      mode,
      { client, stream, pollIntervalMs: 200, clock },
      {
        client: this.#subscriber,
        consumer,
        clock,
        ...(stallMs && { stallMs }),
        ...(renewAfterMs && { renewAfterMs }),
      },
      () => 0,
      log,
    );
  }

  readerFrom(from: ReadFrom, options: ReaderOptions = {}): ShardReader {
    const { clock } = this.subject;
    const metrics = createConsumerMetrics(createRegistry('test'));
    const { shardId = SHARD, sources = this.sourcesOf(options) } = options;
    const reader = new ShardReader(
      {
        budget: options.budget ?? new ByteBudget(MIB),
        aggregates: { corrupt: 'quarantine', stray: 'accept' },
        clock,
        random: Math.random,
        log,
        metrics,
      },
      sources(shardId),
      { shardId, from, hashKeyRange: undefined },
    );
    this.#readers.push(reader);
    return reader;
  }

  /** Puts into the shard that is read, in one call. */
  async put(...data: (string | Uint8Array)[]): Promise<void> {
    const answer = await this.client.send(
      new PutRecordsCommand({
        StreamName: this.stream,
        Records: data.map((one) => ({
          PartitionKey: 'k',
          ExplicitHashKey: '0',
          Data: typeof one === 'string' ? Buffer.from(one) : one,
        })),
      }),
    );
    if (answer.FailedRecordCount) throw new Error(JSON.stringify(answer.Records?.[0]));
  }
}

/** Its next batch, taken apart. */
export async function next(reader: ShardReader): Promise<FetchedBatch & { records: StreamRecord[] }> {
  const batch = await reader.next(AbortSignal.timeout(15_000), () => {});
  return { ...batch, records: [...batch.records] };
}

export async function read(reader: ShardReader, count: number): Promise<StreamRecord[]> {
  const records: StreamRecord[] = [];
  while (records.length < count) records.push(...(await next(reader)).records);
  return records;
}

export const texts = (records: StreamRecord[]) => records.map(({ data }) => Buffer.from(data).toString());
export const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => String(from + i));

export function aggregate(...data: string[]): Buffer {
  const aggregator = new Aggregator();
  for (const one of data) aggregator.add({ partitionKey: 'k', data: Buffer.from(one) });
  return aggregator.encode();
}
