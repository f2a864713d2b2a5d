import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
