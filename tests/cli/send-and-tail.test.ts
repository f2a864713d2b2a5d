import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { resultSchema, sendSchema } from '../../services/cli/schemas.ts';
import { Cli } from './cli.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await Cli.start();
});
afterAll(() => cli?.close());

const events = (n: number, amount: (i: number) => unknown) =>
  Array.from({ length: n }, (_, i) => JSON.stringify({ source: `sensor-${i % 5}`, amount: amount(i) })).join(
    '\n',
  );

describe('weir send and weir tail', () => {
  it('send: sends a file in batches, tells refusals, and exits with 3', async () => {
    const file = join(cli.folder, 'events.ndjson');
    const rejects = join(cli.folder, 'rejects.ndjson');
    await writeFile(file, `${events(30, (i) => (i === 7 ? 'much' : 100))}\n\n${events(1, () => 5_000)}\n`);
    const sent = await cli.json(sendSchema, ['send', file, '--batch', '8', '--rejects', rejects], {
      code: 3,
    });
    expect(sent).toMatchObject({ file, stored: 30, refused: 1, resumedAtLine: null });
    const rejected = JSON.parse(await readFile(rejects, 'utf8'));
    expect(rejected).toMatchObject({
      line: 8,
      code: 'event-invalid',
      event: '{"source":"sensor-2","amount":"much"}',
    });
    await vi.waitFor(async () => expect(await cli.stack.countRecords()).toBe(30), 15_000);
  });

  it('send: goes on where an earlier run was cut, and what had been sent counts once', async () => {
    const before = await cli.stack.countRecords();
    const file = join(cli.folder, 'resumed.ndjson');
    const place = join(cli.folder, 'place.json');
    await writeFile(file, `${events(40, () => 1)}\n`);
    const args = ['send', file, '--batch', '10', '--resume', place];
    // Slow enough to be stopped between two batches.
    const sending = cli.spawn([...args, '--rate', '20']);
    await vi.waitFor(
      async () => expect(JSON.parse(await readFile(place, 'utf8')).line).toBeGreaterThanOrEqual(10),
      15_000,
    );
    sending.interrupt();
    expect(await sending.exit()).toBe(130);
    const state = JSON.parse(await readFile(place, 'utf8'));
    expect(state.line).toBeLessThan(40);
    // As if it had been killed after a batch was stored and before its place was: that batch goes again.
    await writeFile(place, JSON.stringify({ ...state, line: state.line - 10, stored: state.stored - 10 }));
    const sent = await cli.json(sendSchema, args);
    expect(sent).toMatchObject({
      stored: 40 - state.line + 10,
      resumedAtLine: state.line > 10 ? state.line - 9 : null,
    });
    await vi.waitFor(async () => expect(await cli.stack.countRecords()).toBe(before + 40), 15_000);
    const other = await cli.weir([...args.slice(0, 2), '--batch', '20', '--resume', place]);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('go on with the same') });
  });

  it('send: says what is wrong when the producer is none, or not there', async () => {
    const nobody = await cli.weir(['send', '--url', 'http://127.0.0.1:9', '--give-up', '0'], {
      input: '{}\n',
    });
    expect(nobody).toMatchObject({ code: 1, stderr: expect.stringContaining('did not take the events') });
    const stranger = await cli.weir(['send', '--url', `http://127.0.0.1:${cli.producer.ports.adminPort}`], {
      input: '{}\n',
    });
    expect(stranger).toMatchObject({ code: 1, stderr: expect.stringMatching(/refused the batch: 40[45]/) });
    expect(await cli.weir(['send', 'none.ndjson'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ENOENT'),
    });
  });

  it('tail: prints anomalies, filtered', async () => {
    await cli.json(sendSchema, ['send', '-'], { input: `${events(6, (i) => 2_000 + i)}\n` });
    await vi.waitFor(async () => {
      const { stdout } = await cli.weir([
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
    const tail = cli.spawn(['tail', '--source', 'late-*', '--limit', '1', '--interval', '200ms']);
    await cli.json(sendSchema, ['send', '-'], { input: '{"source":"late-\\u001b[31mred","amount":9000}\n' });
    expect(await tail.exit()).toBe(0);
    expect(tail.out).toContain('amount 9000  score 2.000');
    expect(tail.out).not.toContain('\u001b');
  });
});
