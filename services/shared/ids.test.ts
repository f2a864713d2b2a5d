import { validate, version } from 'uuid';
import { expect, it } from 'vitest';
import { newRequestId, requestIdFromKey } from './ids.ts';

it('gives new ids that are UUIDv7 of now, all different, of any random bits', () => {
  const before = Date.now();
  const ids = Array.from({ length: 20_000 }, newRequestId);
  const after = Date.now();
  expect(new Set(ids).size).toBe(ids.length);
  /** By digit from the version on: which values it takes. */
  const seen = Array.from({ length: 36 }, () => new Set<string>());
  for (const id of ids) {
    expect([validate(id), version(id)]).toEqual([true, 7]);
    const time = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
    expect(time >= before && time <= after).toBe(true);
    for (let i = 14; i < 36; i++) seen[i]!.add(id[i]!);
  }
  expect(seen.slice(14).map((values) => values.size)).toEqual([
    ...[1, 16, 16, 16, 1],
    ...[4, 16, 16, 16, 1],
    ...Array(12).fill(16),
  ]);
});

it('gives the same id for the same source and key, and another for any other', () => {
  const id = requestIdFromKey('a', 'k');
  expect([requestIdFromKey('a', 'k'), version(id)]).toEqual([id, 5]);
  expect(
    new Set([id, requestIdFromKey('b', 'k'), requestIdFromKey('a', 'l'), requestIdFromKey('a\nk', '')]).size,
  ).toBe(4);
});
