import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { ConfigError } from '../../shared/errors.ts';
import { createApiKey } from './api-keys.ts';
import { KeyFile } from './key-file.ts';

const one = createApiKey('one', ['*']);
const two = createApiKey('two', ['*']);
let folder: string;
let path: string;
let logged: string[];
let reads: string[];
let versions = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keys-'));
  path = join(folder, 'keys.json');
  logged = [];
  reads = [];
});
afterEach(() => rm(folder, { recursive: true }));

const open = () =>
  KeyFile.open(path, {
    clock,
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
    onRead: (outcome) => reads.push(outcome),
  });
const text = (...made: (typeof one)[]) => JSON.stringify({ keys: made.map(({ entry }) => entry) });

/** As the kubelet changes a Secret: a new folder, and the symlink that the file goes over is swapped for it. */
async function mount(content: string): Promise<void> {
  const data = await mkdtemp(join(folder, `..data-${versions++}-`));
  await writeFile(join(data, 'keys.json'), content);
  await symlink(data, join(folder, '..new'));
  await rename(join(folder, '..new'), join(folder, '..data'));
  await symlink(join(folder, '..data', 'keys.json'), path).catch(() => {});
}

function who(file: KeyFile, headers: Record<string, string>): string {
  try {
    return file.authenticate(headers).client;
  } catch (error) {
    return (error as { reason: string }).reason;
  }
}
const bearer = ({ key }: typeof one) => ({ authorization: `Bearer ${key}` });

describe('the key file', () => {
  it('gives clients by either header', async () => {
    await mount(text(one));
    const file = await open();
    expect(who(file, bearer(one))).toBe('one');
    expect(who(file, { 'x-api-key': one.key })).toBe('one');
    expect(who(file, { authorization: `bearer  ${one.key}` })).toBe('one');
    expect(who(file, {})).toBe('missing');
    for (const authorization of ['', 'Bearer', `Basic ${one.key}`, one.key]) {
      expect(who(file, { authorization })).toBe('invalid');
    }
    expect(who(file, { 'x-api-key': `${one.key}, ${one.key}` })).toBe('invalid');
  });

  it('is read again when the Secret changes, and only then', async () => {
    await mount(text(one));
    const file = await open();
    await file.refresh();
    expect(reads).toEqual(['loaded']);
    await mount(text(two));
    await file.refresh();
    expect([who(file, bearer(one)), who(file, bearer(two)), reads]).toEqual([
      'invalid',
      'two',
      ['loaded', 'loaded'],
    ]);
  });

  it('keeps the keys before when the new file is bad or gone, says so once, and takes the next good one', async () => {
    await mount(text(one));
    const file = await open();
    await mount('{"keys": [');
    for (let i = 0; i < 3; i++) await file.refresh();
    expect([who(file, bearer(one)), reads]).toEqual(['one', ['loaded', 'failed']]);
    expect(logged.filter((line) => line.includes('stay in force'))).toHaveLength(1);
    await rm(join(folder, '..data'));
    for (let i = 0; i < 3; i++) await file.refresh();
    expect([who(file, bearer(one)), reads]).toEqual(['one', ['loaded', 'failed', 'failed']]);
    await mount(text(two));
    await file.refresh();
    expect([who(file, bearer(one)), who(file, bearer(two))]).toEqual(['invalid', 'two']);
    expect(logged.join('')).not.toContain(one.key.slice(-43));
  });

  it('must be good at the start', async () => {
    await expect(open()).rejects.toThrow(ConfigError);
    await writeFile(path, 'x');
    await expect(open()).rejects.toThrow(/not JSON/);
    await writeFile(path, ' '.repeat(5_000_000));
    await expect(open()).rejects.toThrow(/bytes/);
  });

  it('stops looking when it is told to', async () => {
    await mount(text(one));
    const stop = new AbortController();
    const watching = (await open()).watch(stop.signal);
    stop.abort();
    await watching;
  });
});
