/**
 * `npm run test:dynamodb [-- <paths and options of vitest>]`: the tests that work on DynamoDB, on AWS's own DynamoDB
 * Local instead of dynalite. Fetches it (50 MB, by Maven) into the cache, unless it is there. Needs Java 17 or newer, and
 * `mvn` the first time. It listens on all interfaces, with data of tests only.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { close, listen } from '../services/shared/server.ts';

const POM = 'tests/dynamodb-local/pom.xml';
const MAIN = 'software.amazon.dynamodb.services.local.main.ServerRunner';
const START_TRIES = 300;
/** Exit code of what could not be tried, since something is not to be had here: EX_TEMPFAIL of sysexits.h. */
const NOT_TRIED = 75;
/** Filters of vitest, where no others are given. */
const TESTS = [
  'services/shared/dynamodb-json',
  'services/consumer',
  'services/console/poller',
  'services/controller/streamscaler',
  'tests/consumer',
  'tests/faults',
];

/** The folder with the jars, named by what the pom asks for. */
function fetchJars(): string {
  const version = createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 8);
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const folder = join(cache, 'weir', `dynamodb-local-${version}`);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.${process.pid}`;
  const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${unfinished}`, '-DincludeScope=runtime'];
  const { status, error } = spawnSync('mvn', ['-q', '-B', '-f', POM, ...goal], { stdio: 'inherit' });
  if (status !== 0) {
    rmSync(unfinished, { recursive: true, force: true });
    console.error(`DynamoDB Local could not be fetched by mvn${error ? `: ${error.message}` : ''}`);
    process.exit(NOT_TRIED);
  }
  renameSync(unfinished, folder);
  return folder;
}

/** It takes no port 0. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server, 0, '127.0.0.1');
  await close(server);
  return port;
}

/** The endpoint of a DynamoDB Local that ends with this process. */
async function startDynamoDB(jars: string): Promise<string> {
  const port = await freePort();
  const options = ['-inMemory', '-sharedDb', '-disableTelemetry', '-port', String(port)];
  const java = spawn('java', [`-Djava.library.path=${jars}`, '-cp', join(jars, '*'), MAIN, ...options], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let failed: string | undefined;
  java.once('error', ({ message }) => {
    failed = message;
  });
  java.once('exit', (code, signal) => {
    failed ??= `ended with ${code ?? signal}`;
  });
  // At once: its data is in memory, and it would take seconds to say goodbye.
  process.once('exit', () => java.kill('SIGKILL'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < START_TRIES && failed === undefined; tries++) {
    const answered = await fetch(endpoint).then(
      () => true,
      () => false,
    );
    if (answered) return endpoint;
    await sleep(100);
  }
  console.error(`DynamoDB Local (java): ${failed ?? 'does not answer'}`);
  process.exit(failed === undefined ? 1 : NOT_TRIED);
}

const endpoint = await startDynamoDB(fetchJars());
const words = process.argv.slice(2);
const vitest = spawn('vitest', ['run', ...(words.length > 0 ? words : TESTS)], {
  stdio: 'inherit',
  env: { ...process.env, WEIR_TEST_DYNAMODB: endpoint },
});
vitest.once('exit', (code) => process.exit(code ?? 1));
