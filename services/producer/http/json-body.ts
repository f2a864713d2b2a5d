import { InvalidEventError } from '../../shared/errors.ts';
import { MAX_JSON_PARTS, tooWide } from '../../shared/json.ts';
import { decodeRecord } from '../../shared/record.ts';
import { tooLarge } from './body-reader.ts';
import { hasTooManyParts, notAnArray, type Piece, piecesOf } from './json-text.ts';
import { HttpProblem } from './problems.ts';
import type { Turns } from './turns.ts';

/** Parsed in one go up to here: about 1 ms. */
const WHOLE_BYTES = 128 * 1024;
/** Of a larger array, so many bytes are parsed at a time. */
const PIECE_BYTES = 64 * 1024;

/**
 * The JSON value of an event's bytes.
 *
 * @throws HttpProblem 400 for bytes that are not UTF-8, not JSON, or nothing, 422 for too many parts.
 */
export function parseJson(bytes: Buffer): unknown {
  if (hasTooManyParts(bytes)) throw tooManyParts();
  return decodeJson(bytes);
}

function decodeJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new HttpProblem('body-invalid', 'the body is empty');
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    const what = error.code === 'record-not-utf8' ? 'the body is not UTF-8' : 'the body is not JSON';
    throw new HttpProblem('body-invalid', what);
  }
}

/** True for an array that is parsed in pieces, so that other requests have their turn meanwhile. */
export function isLarge(bytes: Buffer): boolean {
  return bytes.length > WHOLE_BYTES;
}

/**
 * The elements of a JSON array that is not large.
 *
 * @throws HttpProblem 400 for anything else, 413 for more than `maxElements`.
 */
export function parseArray(bytes: Buffer, maxElements: number): unknown[] {
  const value = decodeJson(bytes);
  if (!Array.isArray(value)) throw notAnArray();
  if (value.length > maxElements) throw tooMany(maxElements);
  return value;
}

/**
 * A large JSON array in pieces that have been parsed once, and forgotten again: parsed as a whole it would take twenty
 * times its bytes.
 *
 * @throws HttpProblem 400 for anything but a JSON array, 413 for more than `maxElements`.
 */
export async function checkedPieces(
  bytes: Buffer,
  maxElements: number,
  maxElementBytes: number,
  turns: Turns,
): Promise<{ pieces: Piece[]; elements: number }> {
  const pieces: Piece[] = [];
  let elements = 0;
  await turns.next();
  for (const piece of piecesOf(bytes, Math.min(PIECE_BYTES, maxElementBytes))) {
    if (piece) {
      elements += piece.elements;
      if (elements > maxElements) throw tooMany(maxElements);
      parsePiece(piece, maxElementBytes);
      pieces.push(piece);
    }
    if (turns.over) await turns.next();
  }
  return { pieces, elements };
}

/**
 * The values of a piece's elements. Instead of one that is too large or has too many parts there is the problem, and
 * nobody has looked into it: it would hold everybody up and take many times its bytes, only to be refused.
 *
 * @throws HttpProblem 400 when they are not JSON.
 */
export function parsePiece({ text, elements }: Piece, maxElementBytes: number): unknown[] {
  if (elements === 1) {
    if (text.length > maxElementBytes) return [tooLarge(maxElementBytes)];
    if (hasTooManyParts(text)) return [tooManyParts()];
  }
  const values = decodeJson(Buffer.concat([OPEN, text, CLOSE])) as unknown[];
  // Nothing between two commas makes an array as well, alone in its piece.
  if (values.length !== elements) throw new HttpProblem('body-invalid', 'the body is not JSON');
  return values;
}

const OPEN = Buffer.from('[');
const CLOSE = Buffer.from(']');

function tooManyParts(): HttpProblem {
  const { message, problems } = tooWide(MAX_JSON_PARTS);
  return new HttpProblem('event-invalid', message, { errors: problems });
}

/** The problem of a batch with too many events. */
export function tooMany(maxElements: number): HttpProblem {
  return new HttpProblem('body-too-large', `a batch may have ${maxElements} events`);
}
