import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../shared/errors.ts';
import { ApiKeys, createApiKey, type KeyEntry } from './api-keys.ts';
import { sourceMatcher } from './identity.ts';

const NOW = Date.UTC(2026, 0, 1);
const run = promisify(execFile);

const keysOf = (...entries: object[]) => new ApiKeys(JSON.stringify({ keys: entries }));
const reasonFor = (keys: ApiKeys, key: string) => {
  try {
    return keys.identify(key, NOW).client;
  } catch (error) {
    return (error as { reason: string }).reason;
  }
};

describe('API keys', () => {
  it('tell whose they are, by id and secret', () => {
    const one = createApiKey('billing', ['billing', 'invoice-*']);
    const two = createApiKey('sensors', ['*']);
    const keys = keysOf(one.entry, two.entry);
    expect([keys.size, reasonFor(keys, one.key), reasonFor(keys, two.key)]).toEqual([
      2,
      'billing',
      'sensors',
    ]);
    const secretOf = (key: string) => key.slice('weir_'.length + 13);
    const mixed = `weir_${one.entry.id}_${secretOf(two.key)}`;
    for (const wrong of [
      '',
      'x',
      mixed,
      `${one.key}x`,
      ` ${one.key}`,
      one.key.toUpperCase(),
      `weir_${'0'.repeat(12)}_${secretOf(one.key)}`,
    ]) {
      expect(reasonFor(keys, wrong)).toBe('invalid');
    }
  });

  it('are never in their entries', () => {
    const { key, entry } = createApiKey('a', ['a']);
    expect(JSON.stringify(entry)).not.toContain(key.slice(-43));
    expect(new Set(Array.from({ length: 100 }, () => createApiKey('a', ['a']).key)).size).toBe(100);
  });

  it('end when they expire', () => {
    const past = createApiKey('a', ['a'], '2025-12-31T23:59:59Z');
    const future = createApiKey('b', ['b'], '2026-01-01T00:00:01+00:00');
    const keys = keysOf(past.entry, future.entry);
    expect([reasonFor(keys, past.key), reasonFor(keys, future.key)]).toEqual(['expired', 'b']);
    expect(() => createApiKey('a', ['a'], 'tomorrow')).toThrow(ConfigError);
  });

  const { entry } = createApiKey('a', ['a']);
  it.each<[string, string]>([
    ['not JSON', '{"keys": [secret'],
    ['a list', '[]'],
    ['another field', JSON.stringify({ keys: [], more: 1 })],
    ['an entry with another field', JSON.stringify({ keys: [{ ...entry, key: 'secret' }] })],
    ['a short salt', JSON.stringify({ keys: [{ ...entry, salt: 'secret' }] })],
    ['a short hash', JSON.stringify({ keys: [{ ...entry, hash: 'secret' }] })],
    ['a bad pattern', JSON.stringify({ keys: [{ ...entry, sources: ['se*cret'] }] })],
    ['a bad id', JSON.stringify({ keys: [{ ...entry, id: 'secret' }] })],
    ['a bad time', JSON.stringify({ keys: [{ ...entry, expires: 'secret' }] })],
    ['the same id twice', JSON.stringify({ keys: [entry, entry] })],
    ['too many', JSON.stringify({ keys: Array(10_001).fill(entry) })],
  ])('in a file with %s are refused, and the message does not quote it', (_, text) => {
    expect(() => new ApiKeys(text)).toThrow(ConfigError);
    expect(() => new ApiKeys(text)).not.toThrow(/secret/);
  });

  it('are made by `weir keys create`', async () => {
    const weir = (...args: string[]) =>
      run(process.execPath, ['services/cli/main.ts', 'keys', 'create', ...args]);
    const { stdout } = await weir('--client', 'billing', '--sources', 'billing', 'invoice-*', '--json');
    const { key, entry: made } = JSON.parse(stdout) as { key: string; entry: KeyEntry };
    expect(reasonFor(keysOf(made), key)).toBe('billing');
    const { maySend } = keysOf(made).identify(key, NOW);
    expect([maySend('billing'), maySend('invoice-7'), maySend('other')]).toEqual([true, true, false]);
    await expect(weir('--client', 'a', '--sources', 'a*b')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('sources.0'),
    });
  });
});

describe('the rights of a client', () => {
  it.each([
    [['a'], 'a', true],
    [['a'], 'ab', false],
    [['a'], 'A', false],
    [['a*'], 'a', true],
    [['a*'], 'ab', true],
    [['a*'], 'ba', false],
    [['*'], 'anything', true],
    [[], 'a', false],
    [['b', 'a*'], 'b', true],
    [['.*'], 'a', false],
  ])('%j for the source %s: %s', (patterns, source, expected) => {
    expect(sourceMatcher(patterns)(source)).toBe(expected);
  });
});
