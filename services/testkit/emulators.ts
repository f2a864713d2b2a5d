import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { launch, type ManagedProcess, ProcessStartError } from './processes.ts';

const require = createRequire(import.meta.url);
/** The emulators take any; the SDK insists on some. */
export const EMULATOR_CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' };
const START_ATTEMPTS = 5;

/** An emulator of an AWS service, in a process of its own on loopback, with its data in memory. */
export interface Emulator extends ManagedProcess {
  /** For `AWS_ENDPOINT_URL_KINESIS` or `AWS_ENDPOINT_URL_DYNAMODB`. */
  readonly endpoint: string;
}

export interface KinesisLocalOptions {
  /** How long a stream stays CREATING, UPDATING or DELETING, in ms. Default 100. */
  changeMs?: number;
}

/**
 * Starts `kinesis-local` (kinesis-mock) on a free port. It can't take port 0, so a port that somebody else took
 * in the meantime is tried again with another one.
 */
export async function startKinesisLocal(options: KinesisLocalOptions = {}): Promise<Emulator> {
  const main = require.resolve('kinesis-local/main.js');
  const duration = `${options.changeMs ?? 100}ms`;
  for (let attempt = 1; ; attempt++) {
    const [port, tlsPort] = await freePorts();
    try {
      const { process: started } = await launch({
        name: 'kinesis-local',
        args: [main],
        env: {
          KINESIS_MOCK_CERT_PATH: join(dirname(main), 'server.json'),
          KINESIS_MOCK_PLAIN_PORT: String(port),
          KINESIS_MOCK_TLS_PORT: String(tlsPort),
          SHOULD_PERSIST_DATA: 'false',
          LOG_LEVEL: 'INFO',
          SHARD_LIMIT: '1000',
          CREATE_STREAM_DURATION: duration,
          DELETE_STREAM_DURATION: duration,
          SPLIT_SHARD_DURATION: duration,
          MERGE_SHARDS_DURATION: duration,
          UPDATE_SHARD_COUNT_DURATION: duration,
        },
        ready: (line) => line.includes('Starting Kinesis Plain Mock Service') || undefined,
      });
      const endpoint = `http://127.0.0.1:${port}`;
      await answers(endpoint, started);
      return { ...started, endpoint };
    } catch (error) {
      const busy = error instanceof ProcessStartError && error.message.includes('EADDRINUSE');
      if (!busy || attempt === START_ATTEMPTS) throw error;
    }
  }
}

/** It says that it starts before it listens: waits until it takes a connection. */
async function answers(endpoint: string, emulator: ManagedProcess): Promise<void> {
  let gone = false;
  void emulator.exited.then(() => {
    gone = true;
  });
  while (!gone) {
    try {
      await (await fetch(`${endpoint}/healthcheck`)).arrayBuffer();
      return;
    } catch {
      await sleep(20);
    }
  }
  throw new ProcessStartError(
    `${emulator.name} exited at its start; its last lines:\n${emulator.lastLines().join('\n')}`,
  );
}

/** Two ports that were free a moment ago. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports as [number, number];
}

/** Starts `dynalite` on a port that the system chooses. */
export async function startDynalite(): Promise<Emulator> {
  const { process: started, ready } = await launch({
    name: 'dynalite',
    args: [fileURLToPath(new URL('emulators/dynalite-main.ts', import.meta.url))],
    env: {},
    ready: (line) => /^dynalite listening on (\d+)$/.exec(line)?.[1],
  });
  return { ...started, endpoint: `http://127.0.0.1:${ready}` };
}
