import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { findPythonTool } from './python-tools.ts';

export interface Ministack {
  endpoint: string;
  /** Its last lines of output. */
  output(): string;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;

/** Starts ministack, an emulator of AWS with CloudFormation and Lambda, on a free loopback port. */
export async function startMinistack(): Promise<Ministack> {
  const program = findPythonTool('ministack');
  if (program === undefined) throw new Error('ministack is not installed: npm run test:deploy');
  const port = await freePort();
  const child = spawn(program, [], {
    env: {
      PATH: process.env.PATH,
      ...(process.env.WEIR_TEST_RUN ? { WEIR_TEST_RUN: process.env.WEIR_TEST_RUN } : {}),
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      LAMBDA_EXECUTOR: 'local',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-20_000);
    });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
  };
  const endpoint = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!output.includes('Running on')) {
    if (Date.now() > deadline || child.exitCode !== null) {
      await stop();
      throw new Error(`ministack did not start:\n${output}`);
    }
    await sleep(100);
  }
  return { endpoint, output: () => output, stop };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
