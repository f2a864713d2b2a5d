import { InvalidEventError } from '../../shared/errors.ts';
import { decodeRecord } from '../../shared/record.ts';
import { HttpProblem } from './problems.ts';
import type { Turns } from './turns.ts';

/** Parsed in one go up to here: about 1 ms. */
const WHOLE_BYTES = 128 * 1024;
/** Elements between two looks at the clock. */
const SLICE_ELEMENTS = 32;

/** @throws HttpProblem 400 for bytes that are not UTF-8, not JSON, or nothing. */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new HttpProblem('body-invalid', 'the body is empty');
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    const what = error.code === 'record-not-utf8' ? 'the body is not UTF-8' : 'the body is not JSON';
    throw new HttpProblem('body-invalid', what);
  }
}

/** Stands for an element with more bytes than one may have: nobody has looked into it. */
export const TOO_LARGE = Symbol('too large');

/**
 * The elements of a JSON array. A large one is taken apart first and parsed element by element, so that others get
 * their turn in between; in it, an element of more than `maxElementBytes` is not parsed: it would hold everybody up and
 * take many times its bytes, only to be refused.
 *
 * @throws HttpProblem 400 for anything but a JSON array, 413 for more than `maxElements`.
 */
export async function parseJsonArray(
  bytes: Buffer,
  maxElements: number,
  maxElementBytes: number,
  turns: Turns,
): Promise<unknown[]> {
  if (!isLarge(bytes)) {
    const value = parseJson(bytes);
    if (!Array.isArray(value)) throw new HttpProblem('body-invalid', 'the body is not a JSON array');
    if (value.length > maxElements) throw tooMany(maxElements);
    return value;
  }
  const values: unknown[] = [];
  await turns.next();
  for (const element of elementsOf(bytes)) {
    if (values.length >= maxElements) throw tooMany(maxElements);
    values.push(element.length > maxElementBytes ? TOO_LARGE : parseJson(element));
    if (values.length % SLICE_ELEMENTS === 0 && turns.over) await turns.next();
  }
  return values;
}

/** True for an array that is parsed with pauses, so that other requests have their turn meanwhile. */
export function isLarge(bytes: Buffer): boolean {
  return bytes.length > WHOLE_BYTES;
}

/** The problem of a batch with too many events. */
export function tooMany(maxElements: number): HttpProblem {
  return new HttpProblem('body-too-large', `a batch may have ${maxElements} events`);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * The texts of an array's elements, found by depth and quotes alone: whether each is JSON is for the parser to say. Bytes
 * of these characters are never a part of another one in UTF-8.
 */
function* elementsOf(bytes: Buffer): Generator<Buffer> {
  const end = trimmedEnd(bytes);
  let at = firstOf(bytes, 0);
  if (bytes[at] !== OPEN_ARRAY || bytes[end - 1] !== CLOSE_ARRAY || end - 1 === at) {
    throw new HttpProblem('body-invalid', 'the body is not a JSON array');
  }
  let start = ++at;
  if (firstOf(bytes, at) === end - 1) return;
  for (let depth = 0; at < end - 1; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
    else if (byte === COMMA && depth === 0) {
      yield bytes.subarray(start, at);
      start = at + 1;
    }
  }
  yield bytes.subarray(start, end - 1);
}

/** Where the string that begins at `at` ends; the end of the bytes when it doesn't. */
function endOfString(bytes: Buffer, at: number): number {
  for (let quote = bytes.indexOf(QUOTE, at + 1); quote >= 0; quote = bytes.indexOf(QUOTE, quote + 1)) {
    let backslashes = 0;
    while (bytes[quote - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
  }
  return bytes.length;
}

function firstOf(bytes: Buffer, from: number): number {
  let at = from;
  while (isSpace(bytes[at])) at++;
  return at;
}

function trimmedEnd(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && isSpace(bytes[end - 1])) end--;
  return end;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
