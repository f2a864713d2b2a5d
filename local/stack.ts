import { randomUUID } from 'node:crypto';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { createDynamoDBClient, createKinesisClient } from '../services/shared/aws.ts';
import { EMULATOR_CREDENTIALS, startDynalite, startKinesisLocal } from '../services/testkit/emulators.ts';
import { type Exit, type ManagedProcess, ProcessStartError } from '../services/testkit/processes.ts';
import { provision, type Resources } from '../services/testkit/provision.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';

const REGION = 'ap-south-1';
const PRODUCER_PORT = '8080';
const CONSOLE_PORT = '8081';

export interface StackOptions {
  /** Threshold of the consumer's detector. */
  threshold: number;
  /** Told what is being done, for people who wait. */
  onStep: (step: string) => void;
}

/** A part of the stack ended although nobody stopped it. */
export interface Crash {
  name: string;
  exit: Exit;
  /** Its last lines of output, oldest first. */
  lastLines: string[];
}

/** Weir on this machine: emulators, producer, consumer and console, each a process of its own, on free loopback ports. */
export interface LocalStack {
  producerUrl: string;
  producerAdminUrl: string;
  consumerAdminUrl: string;
  consoleUrl: string;
  kinesisEndpoint: string;
  dynamodbEndpoint: string;
  resources: Resources;
  /** Environment that points a service, or `weir`, at the stack. */
  env: Readonly<Record<string, string>>;
  /** Reads the tables; closed by `stop`. */
  dynamodb: DynamoDBClient;
  /** Settles when a part ends unasked; never otherwise. */
  crashed: Promise<Crash>;
  /** Stops all parts in the order of the flow, so that what was accepted is stored. */
  stop(): Promise<void>;
}

/** Starts the stack. What was started is stopped again when a later part fails to start. */
export async function startStack({ threshold, onStep }: StackOptions): Promise<LocalStack> {
  const started: ManagedProcess[] = [];
  let stopping = false;
  let crash: (crash: Crash) => void = () => {};
  const crashed = new Promise<Crash>((resolve) => {
    crash = resolve;
  });
  const keep = <T extends ManagedProcess>(part: T): T => {
    started.push(part);
    void part.exited.then((exit) => {
      if (!stopping) crash({ name: part.name, exit, lastLines: part.lastLines() });
    });
    return part;
  };
  const stop = async () => {
    stopping = true;
    for (const part of started.splice(0).reverse()) await part.stop();
  };
  try {
    onStep('starting kinesis-local and dynalite');
    const [dynamodbPart, kinesisPart] = await Promise.all([
      startDynalite().then(keep),
      startKinesisLocal().then(keep),
    ]);
    const kinesisEndpoint = kinesisPart.endpoint;
    const dynamodbEndpoint = dynamodbPart.endpoint;
    onStep('creating the stream and the tables');
    const resources: Resources = {
      stream: 'anomaly-stream',
      shards: 2,
      recordsTable: 'anomaly-stream-records',
      leaseTable: 'anomaly-stream-leases',
      stateTable: 'anomaly-stream-state',
      deadLetterTable: 'anomaly-stream-dead-letters',
    };
    const dynamodb = createDynamoDBClient({
      region: REGION,
      credentials: EMULATOR_CREDENTIALS,
      dynamodbEndpoint,
    });
    const kinesis = createKinesisClient({
      region: REGION,
      credentials: EMULATOR_CREDENTIALS,
      kinesisEndpoint,
    });
    await provision({ kinesis, dynamodb }, resources);
    kinesis.destroy();
    const env = {
      STREAM_NAME: resources.stream,
      AWS_REGION: REGION,
      AWS_ENDPOINT_URL_KINESIS: kinesisEndpoint,
      AWS_ENDPOINT_URL_DYNAMODB: dynamodbEndpoint,
    };
    const tables = {
      RECORDS_TABLE: resources.recordsTable,
      LEASE_TABLE: resources.leaseTable,
      STATE_TABLE: resources.stateTable,
      DEAD_LETTER_TABLE: resources.deadLetterTable,
    };
    onStep('starting the consumer, the producer and the console');
    const consumer = keep(
      await spawnService({
        name: 'consumer',
        entry: 'services/consumer/main.ts',
        env: {
          ...env,
          ...tables,
          STARTING_POSITION: 'TRIM_HORIZON',
          THRESHOLD: String(threshold),
        },
      }),
    );
    const producer = keep(await startOn(PRODUCER_PORT, 'producer', env));
    const producerAdminUrl = `http://127.0.0.1:${producer.ports.adminPort}`;
    const page = keep(
      await startOn(CONSOLE_PORT, 'console', {
        ...env,
        ...tables,
        PRODUCER_METRICS_URLS: `${producerAdminUrl}/metrics`,
      }),
    );
    return {
      producerUrl: `http://127.0.0.1:${producer.ports.port}`,
      producerAdminUrl,
      consumerAdminUrl: `http://127.0.0.1:${consumer.ports.adminPort}`,
      consoleUrl: `http://127.0.0.1:${page.ports.port}`,
      kinesisEndpoint,
      dynamodbEndpoint,
      resources,
      env: {
        ...env,
        ...tables,
        AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
      },
      dynamodb,
      crashed,
      async stop() {
        await stop();
        dynamodb.destroy();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** On its usual port, so that the commands in the README work as they stand; on a free one when that is taken. */
async function startOn(
  port: string,
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<ServiceProcess> {
  const start = (PORT: string) =>
    spawnService({ name, entry: `services/${name}/main.ts`, env: { ...env, PORT } });
  try {
    return await start(port);
  } catch (error) {
    if (error instanceof ProcessStartError && error.message.includes('EADDRINUSE')) return start('0');
    throw error;
  }
}

/** A name for one replay: its events' idempotency keys begin with it. */
export function newRunName(): string {
  return `demo-${randomUUID().slice(0, 8)}`;
}
