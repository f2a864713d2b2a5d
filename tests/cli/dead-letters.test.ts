import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AttributeValue, DeleteItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  dlqImportSchema,
  dlqListSchema,
  dlqPurgeSchema,
  dlqRedriveSchema,
  dlqShowSchema,
} from '../../services/cli/schemas.ts';
import { Cli } from './cli.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await Cli.start();
});
afterAll(() => cli?.close());

describe('weir dlq', () => {
  it('dlq: lists, shows, redrives and purges, each on a dry run first', async () => {
    const { deadLetterTable } = cli.stack.resources;
    await cli.stack.put([
      { key: 'a', data: 'not JSON' },
      { key: 'b', data: Buffer.from([0xff, 0xfe]) },
    ]);
    await vi.waitFor(async () => expect(await cli.stack.deadLetters()).toHaveLength(2), 15_000);
    const { letters } = await cli.json(dlqListSchema, ['dlq', 'list']);
    expect(letters).toHaveLength(2);
    const id = letters.find(({ partitionKey }) => partitionKey === 'a')!.id;
    expect(await cli.json(dlqShowSchema, ['dlq', 'show', id])).toMatchObject({
      encoding: 'utf8',
      data: 'not JSON',
    });
    expect((await cli.weir(['dlq', 'show', id])).stdout).toMatch(/^data +not JSON$/m);

    const dry = await cli.json(dlqRedriveSchema, ['dlq', 'redrive', id, '--force']);
    expect(dry).toMatchObject({ dryRun: true, letters: [{ id, outcome: 'would-be-redriven' }] });
    const kept = await cli.json(dlqRedriveSchema, ['dlq', 'redrive', '--all', '--yes'], { code: 3 });
    expect(kept.letters.map(({ outcome }) => outcome)).toEqual(['kept', 'kept']);
    const forced = await cli.json(dlqRedriveSchema, ['dlq', 'redrive', id, '--force', '--yes']);
    expect(forced.letters).toMatchObject([
      { outcome: 'redriven', sequenceNumber: expect.stringMatching(/^\d+$/) },
    ]);
    // It fails again, at its new place.
    await vi.waitFor(async () => expect(await cli.stack.deadLetters()).toHaveLength(2), 15_000);

    expect(await cli.json(dlqPurgeSchema, ['dlq', 'purge', '--all'])).toMatchObject({
      dryRun: true,
      table: deadLetterTable,
    });
    expect(await cli.stack.deadLetters()).toHaveLength(2);
    const saved = join(cli.folder, 'given-up.ndjson');
    const purged = await cli.json(dlqPurgeSchema, ['dlq', 'purge', '--all', '--save', saved, '--yes']);
    expect(purged).toMatchObject({ dryRun: false, saved });
    expect(await cli.stack.deadLetters()).toEqual([]);
    const bytes = (await readFile(saved, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).data);
    expect(bytes.sort()).toEqual(
      [Buffer.from([0xff, 0xfe]), Buffer.from('not JSON')].map((b) => b.toString('base64')).sort(),
    );
    expect(await cli.weir(['dlq', 'purge', '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--all'),
    });
  });

  it('dlq: goes on past a letter that can not be redriven or purged, and names it', async () => {
    const { dynamodb, resources } = cli.stack;
    const put = async (n: number, more: Record<string, AttributeValue> = {}) => {
      const id = `${resources.stream}/shardId-000000000000/${n}`;
      const data = Buffer.from(JSON.stringify({ source: 's', amount: n, request_id: `mixed-${n}` }));
      const Item = {
        ...{ id: { S: id }, chunk: { N: '0' }, chunks: { N: '1' }, stream: { S: resources.stream } },
        ...{ shard_id: { S: 'shardId-000000000000' }, sequence_number: { S: String(n) } },
        ...{ partition_key: { S: 's' }, approximate_arrival_timestamp: { N: '1764099000' } },
        ...{ reason: { S: 'mixed' }, message: { S: '\u001b[31m' }, failed_at: { S: '2026-11-25T00:00:00Z' } },
        ...{ size_bytes: { N: String(data.length) }, data: { B: data } },
        ...more,
      };
      await dynamodb.send(new PutItemCommand({ TableName: resources.deadLetterTable, Item }));
      return id;
    };
    const all = [
      await put(21),
      await put(22, { size_bytes: { N: '5' } }),
      await put(23, { partition_key: { S: 'k'.repeat(257) } }),
      await put(24, { chunks: { N: '99999999' } }),
      await put(25, { approximate_arrival_timestamp: { N: '1e30' } }),
      await put(26),
    ];
    const { letters } = await cli.json(dlqListSchema, ['dlq', 'list', '--reason', 'mixed']);
    expect(letters.find(({ id }) => id === all[4])).toMatchObject({ arrivedAt: null });
    const which = ['--reason', 'mixed', '--yes'];
    const redriven = await cli.json(dlqRedriveSchema, ['dlq', 'redrive', ...which], { code: 3 });
    expect(redriven.letters.map(({ id, outcome }) => [id, outcome])).toEqual([
      [all[0], 'redriven'],
      [all[1], 'kept'],
      [all[2], 'kept'],
      [all[3], 'kept'],
      [all[4], 'redriven'],
      [all[5], 'redriven'],
    ]);
    for (const { reason } of redriven.letters.slice(1, 4))
      expect(reason).toMatch(/dead letter|partition ?key/i);
    const again = await cli.weir(['dlq', 'redrive', ...which]);
    expect(again).toMatchObject({ code: 3, stderr: '' });
    expect(again.stdout).toContain(`kept  ${all[1]}`);
    expect(again.stdout).toContain('0 redriven, 3 kept');
    const saved = join(cli.folder, 'mixed.ndjson');
    const purged = await cli.json(dlqPurgeSchema, ['dlq', 'purge', ...which, '--save', saved], { code: 3 });
    expect(purged).toMatchObject({ letters: [all[2]], kept: [{ id: all[1] }, { id: all[3] }] });
    for (const id of [all[1], all[3]]) {
      const Key = { id: { S: String(id) }, chunk: { N: '0' } };
      await dynamodb.send(new DeleteItemCommand({ TableName: resources.deadLetterTable, Key }));
    }
  });

  it('dlq: leaves letters alone once AWS does not answer, or they can not be saved', async () => {
    const ids = ['a/shardId-000000000000/1', 'a/shardId-000000000000/2'];
    const env = { AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:1' };
    const ended = await cli.weir(['dlq', 'redrive', ...ids, '--yes', '--json'], { env });
    expect(ended.code).toBe(1);
    expect(dlqRedriveSchema.parse(JSON.parse(ended.stdout)).letters).toMatchObject([
      { id: ids[0], outcome: 'kept', reason: expect.stringContaining('ECONNREFUSED') },
      { id: ids[1], outcome: 'kept', reason: expect.stringContaining('not tried') },
    ]);
  });

  it('dlq: does not let a file drive the terminal', async () => {
    const file = join(cli.folder, 'place.json');
    const place = {
      streamArn: 'arn',
      shardId: 's',
      startSequenceNumber: '\u001b[2J\n',
      endSequenceNumber: '2',
    };
    await writeFile(file, JSON.stringify({ KinesisBatchInfo: place }));
    const { code, stderr } = await cli.weir(['dlq', 'import', file]);
    expect([code, stderr.trimEnd().split('\n').length]).toEqual([2, 1]);
    expect(stderr).toContain('this says where the batch was');
    expect(stderr).not.toContain('\u001b');
  });

  it('dlq: keeps what the function gave up as dead letters, which can be redriven', async () => {
    const file = join(cli.folder, 'failed-batch.json');
    const { stream } = cli.stack.resources;
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
    expect(await cli.json(dlqImportSchema, ['dlq', 'import', file])).toMatchObject({
      dryRun: true,
      records: 6,
    });
    expect(await cli.stack.deadLetters()).toEqual([]);
    const ids = Records.map(({ kinesis }) => `${stream}/${shard}/${kinesis.sequenceNumber}`);
    expect(await cli.json(dlqImportSchema, ['dlq', 'import', file, '--yes'])).toMatchObject({ letters: ids });
    expect(await cli.json(dlqShowSchema, ['dlq', 'show', ids[0] ?? ''])).toMatchObject({
      reason: 'batch-given-up',
      message: 'RetryAttemptsExhausted',
      data: data(7).toString(),
    });
    const redriven = await cli.json(dlqRedriveSchema, [
      'dlq',
      'redrive',
      '--reason',
      'batch-given-up',
      '--yes',
    ]);
    // One source's records, as they came.
    expect(redriven.letters.map(({ id }) => id)).toEqual(ids);
    await vi.waitFor(
      async () =>
        expect(await cli.stack.records()).toContainEqual(
          expect.objectContaining({ id: 'given-up-12', amount: 12 }),
        ),
      15_000,
    );
    await writeFile(file, '{"Records": []}');
    expect(await cli.weir(['dlq', 'import', file, '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('this is no batch'),
    });
  });
});
