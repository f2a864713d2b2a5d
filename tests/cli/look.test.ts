import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { announceDemo } from '../../services/cli/demo-file.ts';
import { doctorSchema, lagSchema, leasesSchema, shardsSchema } from '../../services/cli/schemas.ts';
import { Cli } from './cli.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await Cli.start();
});
afterAll(() => cli?.close());

describe('weir looks at a stream and its group', () => {
  it('lag: tells what the worker reports, and probes shards without a report', async () => {
    await vi.waitFor(async () => {
      const { shards } = await cli.json(lagSchema, ['lag']);
      expect(shards.map(({ from }) => from)).toEqual(['report', 'report']);
    }, 20_000);
    const found = await cli.json(lagSchema, ['lag', '--max-lag', '600']);
    expect(found).toMatchObject({
      stream: cli.stack.resources.stream,
      leaseTable: cli.stack.resources.leaseTable,
      problems: [],
    });
    expect(found.maxLagSeconds).toBeLessThan(600);
    const text = await cli.weir(['lag']);
    expect(text.stdout).toMatch(/^shard +state +lag s +from/m);
    const none = await cli.json(
      lagSchema,
      ['lag', '--lease-table', cli.stack.resources.stateTable, '--max-lag', '1'],
      { code: 3 },
    );
    expect(none).toMatchObject({
      maxLagSeconds: null,
      problems: [expect.stringContaining('no lease of this stream')],
    });
  });

  it('lag --watch: looks again and again until Ctrl-C', async () => {
    const watching = cli.spawn(['lag', '--watch', '--interval', '100ms', '--json']);
    const lines = () => watching.out.trim().split('\n');
    await vi.waitFor(() => expect(lines().length).toBeGreaterThan(2), 15_000);
    watching.interrupt();
    expect(await watching.exit()).toBe(0);
    for (const line of lines()) lagSchema.parse(JSON.parse(line));
  });

  it('shards and leases: list both', async () => {
    const shards = await cli.json(shardsSchema, ['shards', '--open']);
    expect(shards).toMatchObject({
      status: 'ACTIVE',
      open: 2,
      shards: [{ share: expect.closeTo(0.5) }, { share: expect.closeTo(0.5) }],
    });
    const leases = await cli.json(leasesSchema, ['leases']);
    expect(leases.leases.map(({ leaseKey }) => leaseKey)).toEqual(
      shards.shards.map(({ shardId }) => shardId),
    );
    expect(leases.leases.every(({ owner }) => owner !== null)).toBe(true);
    expect((await cli.weir(['shards'])).stdout).toContain('2 open shards');
    expect((await cli.weir(['leases'])).stdout).toContain('2 leases, 2 held');
  });

  it('doctor: finds nothing where all is well, and says what to do where it is not', async () => {
    const well = await cli.json(doctorSchema, ['doctor', '--write']);
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
    const args = [
      'doctor',
      '--records-table',
      'no-such-table',
      '--state-table',
      cli.stack.resources.leaseTable,
    ];
    const ill = await cli.json(doctorSchema, args, { code: 3 });
    expect(ill.checks.filter(({ status }) => status === 'problem')).toMatchObject([
      { check: 'records table', found: 'no-such-table does not exist' },
      { check: 'state table', found: expect.stringContaining('needed are series, part') },
    ]);
    const text = await cli.weir(['doctor', '--url', 'http://127.0.0.1:9']);
    expect(text).toMatchObject({
      code: 3,
      stdout: expect.stringContaining('problem  producer: http://127.0.0.1:9'),
    });
    expect(text.stdout).toContain('-> check the URL');
  });

  it('finds the demo, and says when there is none', async () => {
    expect(await cli.weir(['lag', '--demo'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no demo is running'),
    });
    vi.stubEnv('XDG_CACHE_HOME', cli.folder);
    const demo = {
      pid: process.pid,
      env: { ...cli.stack.env, AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'x' },
    };
    const takeBack = announceDemo({ ...demo, producerUrl: cli.env.WEIR_URL! });
    vi.unstubAllEnvs();
    const bare = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', STREAM_NAME: '', WEIR_URL: '' };
    const { code, stdout } = await cli.weir(['shards', '--demo'], { env: bare });
    expect([code, stdout]).toEqual([0, expect.stringContaining(cli.stack.resources.stream)]);
    expect((await cli.weir(['send', '--demo'], { env: bare, input: '{"amount":1}\n' })).stdout).toMatch(
      /^1 events stored/,
    );
    vi.stubEnv('XDG_CACHE_HOME', cli.folder);
    takeBack();
    vi.unstubAllEnvs();
    expect(await cli.weir(['shards', '--demo'])).toMatchObject({ code: 2 });
  });

  it('says what AWS says, in one line', async () => {
    const { code, stderr } = await cli.weir(['shards', '--stream', 'no-such-stream']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^weir: AWS answered ResourceNotFoundException: .*\n$/);
    const refused = await cli.weir(['leases', '--endpoint-url', 'http://127.0.0.1:9']);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^weir: connect ECONNREFUSED.*\n$/),
    });
    expect(await cli.weir(['shards', '--region', 'not a region'])).toMatchObject({ code: 2 });
  });

  it('lag: probes the stream from the checkpoint on where nobody holds the shard', async () => {
    expect(await cli.consumer.stop()).toMatchObject({ code: 0 });
    await cli.stack.put([{ key: 'waits', data: '{"amount":1}' }]);
    const { shards, maxLagSeconds } = await cli.json(lagSchema, ['lag', '--max-lag', '0'], { code: 3 });
    expect(shards).toMatchObject([
      { from: 'probe', owner: null },
      { from: 'probe', owner: null },
    ]);
    expect(maxLagSeconds).toBeGreaterThan(0);
    const { checks } = await cli.json(doctorSchema, ['doctor']);
    expect(checks.find(({ check }) => check === 'leases')).toMatchObject({
      status: 'warning',
      found: expect.stringContaining('2 of 2 shards are held by nobody'),
    });
    const [{ leaseKey = '' } = {}] = (await cli.json(leasesSchema, ['leases'])).leases;
    await cli.stack.dynamodb.send(
      new UpdateItemCommand({
        TableName: cli.stack.resources.leaseTable,
        Key: { leaseKey: { S: leaseKey } },
        UpdateExpression: 'REMOVE checkpoint',
      }),
    );
    const ill = await cli.json(doctorSchema, ['doctor'], { code: 3 });
    expect(ill.checks.find(({ check }) => check === 'leases')).toMatchObject({
      status: 'problem',
      found: expect.stringContaining(leaseKey),
    });
  });
});
