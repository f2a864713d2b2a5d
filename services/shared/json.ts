import { InvalidEventError } from './errors.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = { [key: string]: JsonValue };

/** Levels of nesting an event may have. DynamoDB takes 32, of which the item itself uses two. */
export const MAX_JSON_DEPTH = 20;

/**
 * Parts that an event may have: keys of all its objects, and the objects and arrays in its arrays. Each costs every later
 * stage far more than its bytes; plain values in arrays don't.
 */
export const MAX_JSON_PARTS = 2_000;
/**
 * The same for an event out of the stream. It was taken once, by a producer that added keys of its own or by one that counted no
 * arrays, so this is no limit to events of `/send` but to what others write: a slice holds a mebibyte of it.
 */
export const MAX_STREAM_JSON_PARTS = 100_000;

/** A value and the way to it: a pointer is made of that only when it is refused. */
interface Nested {
  value: object;
  depth: number;
  key: string | number;
  parent: Nested | undefined;
}

/**
 * Refuses JSON that parses but that a later stage could not keep or would be hurt by: deep nesting, thousands of
 * parts, `__proto__` keys, empty keys (DynamoDB has none), and strings with half a surrogate pair (UTF-8 has none, so the text
 * would change on its way). Iterative, so that depth itself can't overflow the stack.
 *
 * @throws InvalidEventError `event-too-deep`, `event-too-wide` or `event-unsafe`, with a pointer to the place.
 */
export function assertStorableJson(root: unknown, maxParts: number): void {
  if (typeof root !== 'object' || root === null) return;
  let pending: Nested[] | undefined;
  let parts = 0;
  const first: Nested = { value: root, depth: 1, key: '', parent: undefined };
  for (let next: Nested | undefined = first; next; next = pending?.pop()) {
    const { value } = next;
    if (next.depth > MAX_JSON_DEPTH) {
      throw refuse('event-too-deep', pointerTo(next), `nested deeper than ${MAX_JSON_DEPTH} levels`);
    }
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) {
        if (!isNested(value[i], i, next)) continue;
        if (++parts > maxParts) throw tooWide(maxParts);
        pending ??= [];
        pending.push({ value: value[i], depth: next.depth + 1, key: i, parent: next });
      }
      continue;
    }
    const keys = Object.keys(value);
    parts += keys.length;
    if (parts > maxParts) throw tooWide(maxParts);
    for (const key of keys) {
      assertKey(key, next);
      const child = (value as Record<string, unknown>)[key];
      if (!isNested(child, key, next)) continue;
      // Most events are flat, and one array an event is what this costs them.
      pending ??= [];
      pending.push({ value: child, depth: next.depth + 1, key, parent: next });
    }
  }
}

/** True for an object or array, which is to be looked into. @throws InvalidEventError for a string that UTF-8 can't hold. */
function isNested(child: unknown, key: string | number, parent: Nested): child is object {
  if (typeof child === 'string' && !child.isWellFormed()) {
    throw refuse('event-unsafe', join(pointerTo(parent), key), 'holds half a surrogate pair');
  }
  return typeof child === 'object' && child !== null;
}

function assertKey(key: string, of: Nested): void {
  if (key === '__proto__') throw refuse('event-unsafe', pointerTo(of), 'has a "__proto__" key');
  if (key === '') throw refuse('event-unsafe', pointerTo(of), 'has an empty key');
  if (!key.isWellFormed())
    throw refuse('event-unsafe', pointerTo(of), 'has a key with half a surrogate pair');
}

/** The problem of an event with too many parts. */
export function tooWide(maxParts: number): InvalidEventError {
  return refuse('event-too-wide', '', `has more than ${maxParts} keys, or objects and arrays in arrays`);
}

function pointerTo({ key, parent }: Nested): string {
  return parent ? join(pointerTo(parent), key) : '';
}

/** A pointer that a hostile key can't grow: RFC 6901 escapes, each step cut at 64 characters. */
function join(pointer: string, key: string | number): string {
  const text = String(key);
  const step = text.length > 64 ? `${text.slice(0, 64).toWellFormed()}…` : text;
  return `${pointer}/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function refuse(code: string, pointer: string, detail: string): InvalidEventError {
  return new InvalidEventError(code, [{ pointer, detail }]);
}
