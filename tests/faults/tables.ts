import { isDeepStrictEqual } from 'node:util';
import type { TestStack } from '../../services/testkit/stack.ts';
import { hex, type Tables } from './oracle.ts';

type Item = Record<string, unknown>;
/** Bytes of an id in a stored window. */
const ID_BYTES = 8;
const SHOWN = 5;

/** What the consumers of a run left in their tables, in the oracle's form: without the times at which they wrote. */
export async function readTables(stack: TestStack): Promise<Tables> {
  const [records, states, letters] = await Promise.all([
    stack.records(),
    stack.states(),
    stack.deadLetters(),
  ]);
  const tables: Tables = { records: new Map(), states: new Map(), deadLetters: new Map() };
  for (const { processed_at: _, ...item } of records) tables.records.set(String(item.id), item);
  for (const item of states) tables.states.set(`${item.series} ${item.part}`, withoutBytes(item));
  const chunks = new Map<string, Item[]>();
  for (const row of letters) chunks.set(String(row.id), [...(chunks.get(String(row.id)) ?? []), row]);
  for (const [id, rows] of chunks) tables.deadLetters.set(id, deadLetter(id, rows));
  return tables;
}

function withoutBytes({ dedupe, expires_at: _, ...item }: Item): Item {
  const plain: Item =
    item.part === 'state' ? { ids: dedupe instanceof Uint8Array ? dedupe.length / ID_BYTES : 0 } : {};
  for (const [name, value] of Object.entries(item)) {
    plain[name] = value instanceof Uint8Array ? hex(value) : value;
  }
  return plain;
}

function deadLetter(id: string, rows: Item[]): Item {
  rows.sort((a, b) => Number(a.chunk) - Number(b.chunk));
  const [head] = rows;
  const data = rows.map((row) => (row.data instanceof Uint8Array ? hex(row.data) : '')).join('');
  const whole = head?.chunks === rows.length;
  return {
    id,
    reason: head?.reason,
    partition_key: head?.partition_key,
    data,
    ...(whole ? {} : { chunks: rows.length }),
  };
}

/** In a few lines what differs; none when nothing does. */
export function differences(found: Tables, expected: Tables): string[] {
  return (['records', 'states', 'deadLetters'] as const).flatMap((name) => {
    const lines: string[] = [];
    for (const [key, item] of expected[name]) {
      const stored = found[name].get(key);
      if (!stored) lines.push(`${name}: ${key} is missing: ${show(item)}`);
      else if (!isDeepStrictEqual(stored, item))
        lines.push(`${name}: ${key} differs: ${differing(stored, item)}`);
    }
    for (const [key, item] of found[name]) {
      if (!expected[name].has(key)) lines.push(`${name}: ${key} is too much: ${show(item)}`);
    }
    const more = lines.length - SHOWN;
    return more > 0 ? [...lines.slice(0, SHOWN), `${name}: and ${more} more`] : lines;
  });
}

function differing(stored: Item, item: Item): string {
  const names = new Set([...Object.keys(stored), ...Object.keys(item)]);
  return Array.from(names)
    .filter((name) => !isDeepStrictEqual(stored[name], item[name]))
    .map((name) => `${name} is ${show(stored[name])}, not ${show(item[name])}`)
    .join('; ');
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'absent';
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
