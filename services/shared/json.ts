import { InvalidEventError } from './errors.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = { [key: string]: JsonValue };

/** Levels of nesting an event may have. DynamoDB takes 32, of which the item itself uses two. */
export const MAX_JSON_DEPTH = 20;

/** Keys that an event may have, those of nested objects included: each costs every later stage far more than its bytes. */
export const MAX_JSON_KEYS = 2_000;

interface Nested {
  value: object;
  depth: number;
  pointer: string;
}

/**
 * Refuses JSON that parses but that a later stage could not keep or would be hurt by: deep nesting, thousands of
 * keys, `__proto__` keys, empty keys (DynamoDB has none), and strings with half a surrogate pair (UTF-8 has none, so the text
 * would change on its way). Iterative, so that depth itself can't overflow the stack.
 *
 * @throws InvalidEventError `event-too-deep`, `event-too-wide` or `event-unsafe`, with a pointer to the place.
 */
export function assertStorableJson(root: unknown): void {
  if (typeof root !== 'object' || root === null) return;
  let pending: Nested[] | undefined;
  let count = 0;
  for (let next: Nested | undefined = { value: root, depth: 1, pointer: '' }; next; next = pending?.pop()) {
    const { value, depth, pointer } = next;
    if (depth > MAX_JSON_DEPTH)
      throw refuse('event-too-deep', pointer, `nested deeper than ${MAX_JSON_DEPTH} levels`);
    const isArray = Array.isArray(value);
    const keys = Object.keys(value);
    if (!isArray) count += keys.length;
    if (count > MAX_JSON_KEYS) throw refuse('event-too-wide', '', `has more than ${MAX_JSON_KEYS} keys`);
    for (const key of keys) {
      if (!isArray) assertKey(key, pointer);
      const child = (value as Record<string, unknown>)[key];
      if (typeof child === 'string') {
        if (!child.isWellFormed())
          throw refuse('event-unsafe', join(pointer, key), 'holds half a surrogate pair');
      } else if (typeof child === 'object' && child !== null) {
        // Most events are flat, and one array an event is what this costs them.
        pending ??= [];
        pending.push({ value: child, depth: depth + 1, pointer: join(pointer, key) });
      }
    }
  }
}

function assertKey(key: string, pointer: string): void {
  if (key === '__proto__') throw refuse('event-unsafe', pointer, 'has a "__proto__" key');
  if (key === '') throw refuse('event-unsafe', pointer, 'has an empty key');
  if (!key.isWellFormed()) throw refuse('event-unsafe', pointer, 'has a key with half a surrogate pair');
}

/** A pointer that a hostile key can't grow: RFC 6901 escapes, each step cut at 64 characters. */
function join(pointer: string, key: string): string {
  const step = key.length > 64 ? `${key.slice(0, 64).toWellFormed()}…` : key;
  return `${pointer}/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function refuse(code: string, pointer: string, detail: string): InvalidEventError {
  return new InvalidEventError(code, [{ pointer, detail }]);
}
