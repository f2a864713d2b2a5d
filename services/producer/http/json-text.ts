import { MAX_JSON_PARTS } from '../../shared/json.ts';
import { HttpProblem } from './problems.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** How far a scan goes at a stretch, in bytes: about 1 ms. */
const STRETCH_BYTES = 256 * 1024;

/** Elements of an array that stand side by side. */
export interface Piece {
  /** Their text, with commas in between. */
  text: Buffer;
  elements: number;
}

/**
 * The elements of a JSON array, as many in a piece as `maxBytes` hold; a larger one is a piece of its own. Found by depth
 * and quotes alone: whether a piece is JSON is for the parser to say. Bytes of these characters are never a part of
 * another one in UTF-8. In between it yields undefined, which is when others may have their turn.
 *
 * @throws HttpProblem 400 for what begins or ends otherwise than an array.
 */
export function* piecesOf(bytes: Buffer, maxBytes: number): Generator<Piece | undefined> {
  const first = firstOf(bytes, 0);
  const last = trimmedEnd(bytes) - 1;
  if (bytes[first] !== OPEN_ARRAY || bytes[last] !== CLOSE_ARRAY || last === first) throw notAnArray();
  if (firstOf(bytes, first + 1) === last) return;
  let start = first + 1;
  let elementStart = start;
  let elements = 0;
  let depth = 0;
  let inString = false;
  let stretchEnd = start + STRETCH_BYTES;
  for (let at = start; at <= last; at++) {
    if (at >= stretchEnd) {
      yield undefined;
      stretchEnd = at + STRETCH_BYTES;
    }
    const byte = bytes[at];
    if (inString) {
      // Quote by quote, since there may be millions in a hostile one.
      const quote = bytes.indexOf(QUOTE, at);
      inString = quote >= 0 && quote < last && isEscaped(bytes, quote);
      at = quote >= 0 && quote < last ? quote : last - 1;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (at === last || (byte === COMMA && depth === 0)) {
      if (elements > 0 && at - start > maxBytes) {
        yield { text: bytes.subarray(start, elementStart - 1), elements };
        start = elementStart;
        elements = 0;
      }
      elements++;
      elementStart = at + 1;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
  }
  yield { text: bytes.subarray(start, last), elements };
}

/** The problem of a body that is no array. */
export function notAnArray(): HttpProblem {
  return new HttpProblem('body-invalid', 'the body is not a JSON array');
}

/**
 * True for text that has more parts than an event may have, told without parsing it: parsed, `[{},{},…]` takes twenty
 * times its bytes. What it lets pass may still be too wide.
 */
export function hasTooManyParts(text: Buffer): boolean {
  if (text.length <= MAX_TOKENS) return false;
  let tokens = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) at = endOfString(text, at);
    else if ((byte === COLON || byte === OPEN_OBJECT || byte === OPEN_ARRAY) && ++tokens > MAX_TOKENS)
      return true;
  }
  return false;
}

/** A key has a colon and at most one bracket, and an object or array in an array a bracket. */
const MAX_TOKENS = 2 * MAX_JSON_PARTS + 1;

/** Where the string that begins at `at` ends; the end of the bytes when it doesn't. */
function endOfString(bytes: Buffer, at: number): number {
  let quote = bytes.indexOf(QUOTE, at + 1);
  while (quote >= 0 && isEscaped(bytes, quote)) quote = bytes.indexOf(QUOTE, quote + 1);
  return quote < 0 ? bytes.length : quote;
}

/** Is the quote at `at`, in a string, a part of it? */
function isEscaped(bytes: Buffer, at: number): boolean {
  let backslashes = 0;
  while (bytes[at - 1 - backslashes] === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
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
