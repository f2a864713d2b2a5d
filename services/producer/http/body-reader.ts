import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Request } from 'express';
import { NotStoredError } from '../errors.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import { HttpProblem } from './problems.ts';

/**
 * Bytes that requests in hand hold at one time: bodies, what waits for an answer, answers of batches. Many slow or large
 * ones must not add up.
 */
export class BodyBudget {
  readonly #max: number;
  #held = 0;

  constructor(maxBytes: number) {
    this.#max = maxBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** @throws NotStoredError `buffer-full` when there is no room. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#max) {
      throw new NotStoredError('buffer-full', 'too many requests are being read', 1);
    }
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

export interface ReadOptions {
  /** Largest body in bytes, decompressed. */
  limit: number;
  budget: BodyBudget;
}

/** A body and what it holds of the budget. */
export interface HeldBody {
  bytes: Buffer;
  /** To be called once the bytes are of no more use. */
  release(): void;
}

/**
 * Reads a body, gzip, deflate or brotli undone. What is over the limit is never kept, and one that announces more is
 * refused unread.
 *
 * @throws HttpProblem 413, 415 for another encoding, 400 for one that is broken or was cut off.
 * @throws NotStoredError when the budget is used up.
 */
export async function readBody(request: Request, options: ReadOptions): Promise<HeldBody> {
  const { limit, budget } = options;
  const gathered = new GatheredBytes(budget, announcedLength(request));
  try {
    await eachChunk(request, options, (chunk) => {
      if (gathered.length + chunk.length > limit) throw tooLarge(limit);
      gathered.push(chunk);
    });
  } catch (error) {
    gathered.clear();
    throw error;
  }
  return { bytes: gathered.view(), release: () => gathered.clear() };
}

/** What the body will have when it is not compressed; undefined when nobody says. */
function announcedLength({ headers }: IncomingMessage): number | undefined {
  const length = Number(headers['content-length']);
  return headers['content-encoding'] === undefined && length >= 0 ? length : undefined;
}

/**
 * Hands a body over as it comes, decoded; the next chunk is not read before `use` has dealt with the last one.
 *
 * @throws as `readBody`, and what `use` throws.
 */
export async function eachChunk(
  request: Request,
  { limit, budget }: ReadOptions,
  use: (chunk: Buffer) => void | Promise<void>,
): Promise<void> {
  if (Number(request.headers['content-length']) > limit) throw tooLarge(limit);
  const decoder = decoderOf(request);
  if (!decoder) return pump(request, request, limit, use);
  budget.take(DECODER_BYTES);
  try {
    await pump(request, request.pipe(decoder()), limit, use);
  } finally {
    budget.give(DECODER_BYTES);
  }
}

async function pump(
  request: Request,
  body: Readable,
  limit: number,
  use: (chunk: Buffer) => void | Promise<void>,
): Promise<void> {
  // It left while its credentials were looked at: nothing more would be heard of it.
  if (request.destroyed) throw cutOff();
  // Only now is the body wanted: who is refused before is spared sending it (RFC 9110, 10.1.1).
  if (isContinue(request.headers.expect)) request.res?.writeContinue();
  let seen = 0;
  let failed = false;
  // The end may come, and the client may go, while the last chunk is still in use: nothing goes on before that is over.
  let inUse: Promise<void> | undefined;
  await new Promise<void>((resolve, reject) => {
    const fail = (error: unknown) => {
      failed = true;
      request.unpipe();
      if (body !== request) body.destroy();
      // The rest is not read; who answers closes the connection.
      else request.pause();
      const tell = () => reject(error);
      if (inUse) void inUse.then(tell, tell);
      else tell();
    };
    body.on('data', (chunk: Buffer) => {
      if (failed) return;
      seen += chunk.length;
      if (seen > limit) return fail(tooLarge(limit));
      try {
        const using = use(chunk);
        if (!using) return;
        body.pause();
        inUse = using;
        using.then(() => failed || body.resume(), fail);
      } catch (error) {
        fail(error);
      }
    });
    body.on('end', () => {
      if (failed) return;
      // If that use fails, `fail` is told of it.
      if (inUse) void inUse.then(resolve, () => undefined);
      else resolve();
    });
    body.on('error', (error) => {
      // The server gives a request up with the problem to answer.
      if (error instanceof HttpProblem) fail(error);
      else fail(new HttpProblem('body-invalid', 'the body is not of its Content-Encoding'));
    });
    if (body !== request) request.on('error', fail);
    request.on('close', () => {
      if (!request.complete) fail(cutOff());
    });
  });
}

function cutOff(): HttpProblem {
  return new HttpProblem('body-invalid', 'the request was cut off');
}

/** The problem of a body over `limit` bytes. */
export function tooLarge(limit: number): HttpProblem {
  return new HttpProblem('body-too-large', `a body may have ${limit} bytes here, decompressed`);
}

/** True for the one expectation there is (RFC 9110, 10.1.1). */
export function isContinue(expect: string | undefined): boolean {
  return expect !== undefined && /^100-continue$/i.test(expect);
}

/** State and output buffer of a decoder, charged while it runs: thousands of idle ones are no small thing. */
const DECODER_BYTES = 64 * 1024;
const DECODERS: Readonly<Record<string, () => ReturnType<typeof createGunzip>>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** @returns undefined for a body that is not compressed. */
function decoderOf(request: IncomingMessage): (() => ReturnType<typeof createGunzip>) | undefined {
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return undefined;
  const create = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (!create) throw new HttpProblem('media-type-unsupported', 'Content-Encoding may be gzip, deflate or br');
  return create;
}
