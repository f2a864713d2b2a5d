import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { NotStoredError } from '../errors.ts';
import { HttpProblem } from './problems.ts';

/** Bytes of request bodies held at one time, over all requests: many slow or large ones must not add up. */
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
export async function readBody(request: IncomingMessage, options: ReadOptions): Promise<HeldBody> {
  const chunks: Buffer[] = [];
  let held = 0;
  try {
    await eachChunk(request, options.limit, (chunk) => {
      options.budget.take(chunk.length);
      held += chunk.length;
      chunks.push(chunk);
    });
  } catch (error) {
    options.budget.give(held);
    throw error;
  }
  const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, held);
  return { bytes, release: () => options.budget.give(held) };
}

/**
 * Hands a body over as it comes, decoded; the next chunk is not read before `use` has dealt with the last one.
 *
 * @throws as `readBody`, and what `use` throws.
 */
export async function eachChunk(
  request: IncomingMessage,
  limit: number,
  use: (chunk: Buffer) => void | Promise<void>,
): Promise<void> {
  if (Number(request.headers['content-length']) > limit) throw tooLarge(limit);
  const body = decoded(request);
  let seen = 0;
  await new Promise<void>((resolve, reject) => {
    const fail = (error: unknown) => {
      request.unpipe();
      if (body !== request) body.destroy();
      // The rest is not read; who answers closes the connection.
      else request.pause();
      reject(error);
    };
    body.on('data', (chunk: Buffer) => {
      seen += chunk.length;
      if (seen > limit) return fail(tooLarge(limit));
      try {
        const busy = use(chunk);
        if (!busy) return;
        body.pause();
        busy.then(() => body.resume(), fail);
      } catch (error) {
        fail(error);
      }
    });
    body.on('end', resolve);
    body.on('error', () => fail(new HttpProblem('body-invalid', 'the body is not of its Content-Encoding')));
    if (body !== request) request.on('error', fail);
    request.on('close', () => {
      if (!request.complete) fail(new HttpProblem('body-invalid', 'the request was cut off'));
    });
  });
}

/** The problem of a body over `limit` bytes. */
export function tooLarge(limit: number): HttpProblem {
  return new HttpProblem('body-too-large', `a body may have ${limit} bytes here, decompressed`);
}

const DECODERS: Readonly<Record<string, () => ReturnType<typeof createGunzip>>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

function decoded(request: IncomingMessage): Readable {
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return request;
  const create = DECODERS[encoding];
  if (!create) throw new HttpProblem('media-type-unsupported', 'Content-Encoding may be gzip, deflate or br');
  return request.pipe(create());
}
