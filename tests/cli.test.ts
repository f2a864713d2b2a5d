import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { z } from 'zod';
import { announceDemo } from '../services/cli/demo-file.ts';
import {
  backtestSchema,
  costSchema,
  dlqImportSchema,
  dlqListSchema,
  dlqPurgeSchema,
  dlqRedriveSchema,
  dlqShowSchema,
  doctorSchema,
  keysSchema,
  lagSchema,
  leasesSchema,
  resultSchema,
  sendSchema,
  shardsSchema,
  simulateSchema,
} from '../services/cli/schemas.ts';
import type { ServiceProcess } from '../services/testkit/service-process.ts';
import { TestStack } from '../services/testkit/stack.ts';

/** What the demo is made of, with names of its own: emulators, producer and consumer, each a process. */
let stack: TestStack;
let producer: ServiceProcess;
let consumer: ServiceProcess;
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-cli-'));
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  producer = await stack.start('producer');
  consumer = await stack.start('consumer', { STARTING_POSITION: 'TRIM_HORIZON' });
  env = {
    ...process.env,
    ...stack.env,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    WEIR_URL: `http://127.0.0.1:${producer.ports.port}`,
    XDG_CACHE_HOME: folder,
  };
});
afterAll(async () => {
  await stack.close();
  await rm(folder, { recursive: true });
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function weir(
  args: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['services/cli/main.ts', ...args],
      { env: { ...env, ...options.env } },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
    child.stdin?.end(options.input ?? '');
  });
}

/** Runs a command with `--json`, and holds what it printed to its schema. */
async function json<T extends z.ZodType>(
  schema: T,
  args: readonly string[],
  { code = 0, input = '' } = {},
): Promise<z.output<T>> {
  const ended = await weir([...args, '--json'], { input });
  expect(ended.code, `${ended.stderr}${ended.stdout}`).toBe(code);
  expect(ended.stdout.trimEnd()).not.toContain('\n');
  return schema.parse(JSON.parse(ended.stdout));
}

const events = (n: number, amount: (i: number) => unknown) =>
  Array.from({ length: n }, (_, i) => JSON.stringify({ source: `sensor-${i % 5}`, amount: amount(i) })).join(
    '\n',
  );

describe('weir on a stack as the demo is', () => {
  it('send: sends a file in batches, tells refusals, and exits with 3', async () => {
    const file = join(folder, 'events.ndjson');
    const rejects = join(folder, 'rejects.ndjson');
    await writeFile(file, `${events(30, (i) => (i === 7 ? 'much' : 100))}\n\n${events(1, () => 5_000)}\n`);
    const sent = await json(sendSchema, ['send', file, '--batch', '8', '--rejects', rejects], { code: 3 });
    expect(sent).toMatchObject({ file, stored: 30, refused: 1, resumedAtLine: null });
    const rejected = JSON.parse(await readFile(rejects, 'utf8'));
    expect(rejected).toMatchObject({
      line: 8,
      code: 'event-invalid',
      event: '{"source":"sensor-2","amount":"much"}',
    });
    await vi.waitFor(async () => expect(await stack.countRecords()).toBe(30), 15_000);
  });

  it('send: goes on where an earlier run was cut, and what had been sent counts once', async () => {
    const before = await stack.countRecords();
    const file = join(folder, 'resumed.ndjson');
    const place = join(folder, 'place.json');
    await writeFile(file, `${events(40, () => 1)}\n`);
    const args = ['send', file, '--batch', '10', '--resume', place];
    // Slow enough to be stopped between two batches.
    const child = spawn(process.execPath, ['services/cli/main.ts', ...args, '--rate', '20'], {
      env,
      stdio: 'pipe',
    });
    await vi.waitFor(
      async () => expect(JSON.parse(await readFile(place, 'utf8')).line).toBeGreaterThanOrEqual(10),
      15_000,
    );
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(130);
    const state = JSON.parse(await readFile(place, 'utf8'));
    expect(state.line).toBeLessThan(40);
    // As if it had been killed after a batch was stored and before its place was: that batch goes again.
    await writeFile(place, JSON.stringify({ ...state, line: state.line - 10, stored: state.stored - 10 }));
    const sent = await json(sendSchema, args);
    expect(sent).toMatchObject({
      stored: 40 - state.line + 10,
      resumedAtLine: state.line > 10 ? state.line - 9 : null,
    });
    await vi.waitFor(async () => expect(await stack.countRecords()).toBe(before + 40), 15_000);
    const other = await weir([...args.slice(0, 2), '--batch', '20', '--resume', place]);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('go on with the same') });
  });

  it('send: says what is wrong when the producer is none, or not there', async () => {
    const nobody = await weir(['send', '--url', 'http://127.0.0.1:9', '--give-up', '0'], { input: '{}\n' });
    expect(nobody).toMatchObject({ code: 1, stderr: expect.stringContaining('did not take the events') });
    const stranger = await weir(['send', '--url', `http://127.0.0.1:${producer.ports.adminPort}`], {
      input: '{}\n',
    });
    expect(stranger).toMatchObject({ code: 1, stderr: expect.stringMatching(/refused the batch: 40[45]/) });
    expect(await weir(['send', 'none.ndjson'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ENOENT'),
    });
  });

  it('tail: prints anomalies, filtered', async () => {
    await json(sendSchema, ['send', '-'], { input: `${events(6, (i) => 2_000 + i)}\n` });
    await vi.waitFor(async () => {
      const { stdout } = await weir([
        'tail',
        '--no-follow',
        '--source',
        'sensor-0',
        '--min-amount',
        '2000',
        '--json',
      ]);
      const found = stdout
        .trim()
        .split('\n')
        .map((line) => resultSchema.parse(JSON.parse(line)));
      expect(found.map(({ amount }) => amount)).toEqual(expect.arrayContaining([2_000, 2_005]));
      for (const { source, is_anomaly } of found) expect([source, is_anomaly]).toEqual(['sensor-0', true]);
    }, 15_000);
  });

  it('tail: follows until it has enough', async () => {
    const child = spawn(
      process.execPath,
      ['services/cli/main.ts', 'tail', '--source', 'late-*', '--limit', '1', '--interval', '200ms'],
      { env, stdio: 'pipe' },
    );
    const out = collect(child);
    await json(sendSchema, ['send', '-'], { input: '{"source":"late-\\u001b[31mred","amount":9000}\n' });
    expect(await exitOf(child)).toBe(0);
    expect(out()).toContain('amount 9000  score 2.000');
    expect(out()).not.toContain('\u001b');
  });

  it('lag: tells what the worker reports, and probes shards without a report', async () => {
    await vi.waitFor(async () => {
      const { shards } = await json(lagSchema, ['lag']);
      expect(shards.map(({ from }) => from)).toEqual(['report', 'report']);
    }, 20_000);
    const found = await json(lagSchema, ['lag', '--max-lag', '600']);
    expect(found).toMatchObject({
      stream: stack.resources.stream,
      leaseTable: stack.resources.leaseTable,
      problems: [],
    });
    expect(found.maxLagSeconds).toBeLessThan(600);
    const text = await weir(['lag']);
    expect(text.stdout).toMatch(/^shard +state +lag s +from/m);
    const none = await json(
      lagSchema,
      ['lag', '--lease-table', stack.resources.stateTable, '--max-lag', '1'],
      { code: 3 },
    );
    expect(none).toMatchObject({
      maxLagSeconds: null,
      problems: [expect.stringContaining('no lease of this stream')],
    });
  });

  it('lag --watch: looks again and again until Ctrl-C', async () => {
    const child = spawn(
      process.execPath,
      ['services/cli/main.ts', 'lag', '--watch', '--interval', '100ms', '--json'],
      {
        env,
        stdio: 'pipe',
      },
    );
    const out = collect(child);
    await vi.waitFor(() => expect(out().trim().split('\n').length).toBeGreaterThan(2), 15_000);
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(0);
    for (const line of out().trim().split('\n')) lagSchema.parse(JSON.parse(line));
  });

  it('shards and leases: list both', async () => {
    const shards = await json(shardsSchema, ['shards', '--open']);
    expect(shards).toMatchObject({
      status: 'ACTIVE',
      open: 2,
      shards: [{ share: expect.closeTo(0.5) }, { share: expect.closeTo(0.5) }],
    });
    const leases = await json(leasesSchema, ['leases']);
    expect(leases.leases.map(({ leaseKey }) => leaseKey)).toEqual(
      shards.shards.map(({ shardId }) => shardId),
    );
    expect(leases.leases.every(({ owner }) => owner !== null)).toBe(true);
    expect((await weir(['shards'])).stdout).toContain('2 open shards');
    expect((await weir(['leases'])).stdout).toContain('2 leases, 2 held');
  });

  it('dlq: lists, shows, redrives and purges, each on a dry run first', async () => {
    const { deadLetterTable } = stack.resources;
    await stack.put([
      { key: 'a', data: 'not JSON' },
      { key: 'b', data: Buffer.from([0xff, 0xfe]) },
    ]);
    await vi.waitFor(async () => expect(await stack.deadLetters()).toHaveLength(2), 15_000);
    const { letters } = await json(dlqListSchema, ['dlq', 'list']);
    expect(letters).toHaveLength(2);
    const id = letters.find(({ partitionKey }) => partitionKey === 'a')!.id;
    expect(await json(dlqShowSchema, ['dlq', 'show', id])).toMatchObject({
      encoding: 'utf8',
      data: 'not JSON',
    });
    expect((await weir(['dlq', 'show', id])).stdout).toMatch(/^data +not JSON$/m);

    const dry = await json(dlqRedriveSchema, ['dlq', 'redrive', id, '--force']);
    expect(dry).toMatchObject({ dryRun: true, letters: [{ id, outcome: 'would-be-redriven' }] });
    const kept = await json(dlqRedriveSchema, ['dlq', 'redrive', '--all', '--yes'], { code: 3 });
    expect(kept.letters.map(({ outcome }) => outcome)).toEqual(['kept', 'kept']);
    const forced = await json(dlqRedriveSchema, ['dlq', 'redrive', id, '--force', '--yes']);
    expect(forced.letters).toMatchObject([
      { outcome: 'redriven', sequenceNumber: expect.stringMatching(/^\d+$/) },
    ]);
    // It fails again, at its new place.
    await vi.waitFor(async () => expect(await stack.deadLetters()).toHaveLength(2), 15_000);

    expect(await json(dlqPurgeSchema, ['dlq', 'purge', '--all'])).toMatchObject({
      dryRun: true,
      table: deadLetterTable,
    });
    expect(await stack.deadLetters()).toHaveLength(2);
    const saved = join(folder, 'given-up.ndjson');
    const purged = await json(dlqPurgeSchema, ['dlq', 'purge', '--all', '--save', saved, '--yes']);
    expect(purged).toMatchObject({ dryRun: false, saved });
    expect(await stack.deadLetters()).toEqual([]);
    const bytes = (await readFile(saved, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).data);
    expect(bytes.sort()).toEqual(
      [Buffer.from([0xff, 0xfe]), Buffer.from('not JSON')].map((b) => b.toString('base64')).sort(),
    );
    expect(await weir(['dlq', 'purge', '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--all'),
    });
  });

  it('dlq: keeps what the function gave up as dead letters, which can be redriven', async () => {
    const file = join(folder, 'failed-batch.json');
    const { stream } = stack.resources;
    const shard = 'shardId-000000000000';
    const eventSourceARN = `arn:aws:kinesis:eu-west-1:000000000000:stream/${stream}`;
    const data = (n: number) =>
      Buffer.from(JSON.stringify({ source: 'a', amount: n, request_id: `given-up-${n}` }));
    const Records = [7, 8, 9, 10, 11, 12].map((n) => ({
      eventID: `${shard}:${n}`,
      eventSourceARN,
      kinesis: {
        sequenceNumber: String(n),
        partitionKey: 'a',
        data: data(n).toString('base64'),
        approximateArrivalTimestamp: 1_700_000_000,
      },
    }));
    const payload = JSON.stringify({ Records });
    await writeFile(
      file,
      JSON.stringify({ requestContext: { condition: 'RetryAttemptsExhausted' }, payload }),
    );
    expect(await json(dlqImportSchema, ['dlq', 'import', file])).toMatchObject({ dryRun: true, records: 6 });
    expect(await stack.deadLetters()).toEqual([]);
    const ids = Records.map(({ kinesis }) => `${stream}/${shard}/${kinesis.sequenceNumber}`);
    expect(await json(dlqImportSchema, ['dlq', 'import', file, '--yes'])).toMatchObject({ letters: ids });
    expect(await json(dlqShowSchema, ['dlq', 'show', ids[0] ?? ''])).toMatchObject({
      reason: 'batch-given-up',
      message: 'RetryAttemptsExhausted',
      data: data(7).toString(),
    });
    const redriven = await json(dlqRedriveSchema, ['dlq', 'redrive', '--reason', 'batch-given-up', '--yes']);
    // One source's records, as they came.
    expect(redriven.letters.map(({ id }) => id)).toEqual(ids);
    await vi.waitFor(
      async () =>
        expect(await stack.records()).toContainEqual(
          expect.objectContaining({ id: 'given-up-12', amount: 12 }),
        ),
      15_000,
    );
    await writeFile(file, '{"Records": []}');
    expect(await weir(['dlq', 'import', file, '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('this is no batch'),
    });
  });

  it('doctor: finds nothing where all is well, and says what to do where it is not', async () => {
    const well = await json(doctorSchema, ['doctor', '--write']);
    expect(well.checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(well.checks.map(({ check }) => check)).toEqual(
      expect.arrayContaining([
        'versions',
        'stream',
        'clock',
        'lease table',
        'write to the state table',
        'leases',
        'producer',
      ]),
    );
    const args = ['doctor', '--records-table', 'no-such-table', '--state-table', stack.resources.leaseTable];
    const ill = await json(doctorSchema, args, { code: 3 });
    expect(ill.checks.filter(({ status }) => status === 'problem')).toMatchObject([
      { check: 'records table', found: 'no-such-table does not exist' },
      { check: 'state table', found: expect.stringContaining('needed are series, part') },
    ]);
    const text = await weir(['doctor', '--url', 'http://127.0.0.1:9']);
    expect(text).toMatchObject({
      code: 3,
      stdout: expect.stringContaining('problem  producer: http://127.0.0.1:9'),
    });
    expect(text.stdout).toContain('-> check the URL');
  });

  it('finds the demo, and says when there is none', async () => {
    expect(await weir(['lag', '--demo'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no demo is running'),
    });
    vi.stubEnv('XDG_CACHE_HOME', folder);
    const demo = {
      pid: process.pid,
      env: { ...stack.env, AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'x' },
    };
    const takeBack = announceDemo({ ...demo, producerUrl: env.WEIR_URL! });
    vi.unstubAllEnvs();
    const bare = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', STREAM_NAME: '', WEIR_URL: '' };
    const { code, stdout } = await weir(['shards', '--demo'], { env: bare });
    expect([code, stdout]).toEqual([0, expect.stringContaining(stack.resources.stream)]);
    expect((await weir(['send', '--demo'], { env: bare, input: '{"amount":1}\n' })).stdout).toMatch(
      /^1 events stored/,
    );
    vi.stubEnv('XDG_CACHE_HOME', folder);
    takeBack();
    vi.unstubAllEnvs();
    expect(await weir(['shards', '--demo'])).toMatchObject({ code: 2 });
  });

  it('says what AWS says, in one line', async () => {
    const { code, stderr } = await weir(['shards', '--stream', 'no-such-stream']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^weir: AWS answered ResourceNotFoundException: .*\n$/);
    const refused = await weir(['leases', '--endpoint-url', 'http://127.0.0.1:9']);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^weir: connect ECONNREFUSED.*\n$/),
    });
    expect(await weir(['shards', '--region', 'not a region'])).toMatchObject({ code: 2 });
  });

  it('lag: probes the stream from the checkpoint on where nobody holds the shard', async () => {
    expect(await consumer.stop()).toMatchObject({ code: 0 });
    await stack.put([{ key: 'waits', data: '{"amount":1}' }]);
    const { shards, maxLagSeconds } = await json(lagSchema, ['lag', '--max-lag', '0'], { code: 3 });
    expect(shards).toMatchObject([
      { from: 'probe', owner: null },
      { from: 'probe', owner: null },
    ]);
    expect(maxLagSeconds).toBeGreaterThan(0);
    const { checks } = await json(doctorSchema, ['doctor']);
    expect(checks.find(({ check }) => check === 'leases')).toMatchObject({
      status: 'warning',
      found: expect.stringContaining('2 of 2 shards are held by nobody'),
    });
  });
});

describe('weir without AWS', () => {
  it('prints what its schemas say', async () => {
    const series = 'timestamp,value\n2026-03-01T00:00:00Z,1\n2026-03-01T00:01:00Z,5000\n';
    const report = await json(backtestSchema, ['backtest', '-', '--detector', 'threshold'], {
      input: series,
    });
    expect(report.detectors[0]).toMatchObject({ detector: 'threshold', records: 2, alarms: 1 });
    expect((await json(simulateSchema, ['simulate', '--trace', 'step'])).traces).toHaveLength(1);
    expect((await json(costSchema, ['cost'])).estimate.usd).toBeGreaterThan(0);
    await json(keysSchema, ['keys', 'create', '--client', 'a', '--sources', 'b']);
  });

  it('demo: passes its options on', async () => {
    expect((await weir(['demo', '--help'])).stdout).toContain('--threshold <amount>');
    expect(await weir(['demo', '--events', '1.5'])).toMatchObject({ code: 2 });
    expect(await weir(['demo', '--input', 'nothing.csv', '--exit'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ENOENT'),
    });
  });
});

function collect(child: ChildProcess): () => string {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

async function exitOf(child: ChildProcess): Promise<number> {
  if (child.exitCode !== null) return child.exitCode;
  const [code] = (await once(child, 'exit')) as [number];
  return code;
}
