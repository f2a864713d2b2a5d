import type { BodyBudget } from './body-reader.ts';
import { GatheredBytes } from './gathered-bytes.ts';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Cuts a stream of bytes into lines, as NDJSON has them: `\n` ends one, `\r` before it and empty lines don't count. Keeps
 * no more than one unfinished line, up to a limit.
 */
export class Lines {
  readonly #maxBytes: number;
  readonly #rest: GatheredBytes;
  /** The line under way is over the limit: its bytes are dropped until it ends. */
  #tooLong = false;

  /** @param budget what an unfinished line counts against. */
  constructor(maxBytes: number, budget: BodyBudget) {
    this.#maxBytes = maxBytes;
    this.#rest = new GatheredBytes(budget);
  }

  /**
   * The lines that are now whole, one by one; undefined stands for one that was too long.
   *
   * @throws NotStoredError `buffer-full` when there is no room for the unfinished one.
   */
  *push(chunk: Buffer): Generator<Buffer | undefined> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = this.#finish(chunk.subarray(start, end));
      if (line?.length !== 0) yield line;
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** The last line, if the stream didn't end with a newline. */
  *end(): Generator<Buffer | undefined> {
    const line = this.#finish(Buffer.alloc(0));
    if (line?.length !== 0) yield line;
  }

  /** Gives back what an unfinished line holds. */
  clear(): void {
    this.#rest.clear();
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#tooLong) return;
    // A carriage return may be the last one of it.
    this.#tooLong = this.#rest.length + part.length > this.#maxBytes + 1;
    if (this.#tooLong) this.#rest.clear();
    else this.#rest.push(part);
  }

  /** @returns the line that ends with `part`, which may be empty; undefined for one that was too long. */
  #finish(part: Buffer): Buffer | undefined {
    let line = part;
    if (this.#rest.length > 0) {
      this.#keep(part);
      line = this.#rest.view();
      this.#rest.clear();
    }
    const tooLong = this.#tooLong;
    this.#tooLong = false;
    if (line.at(-1) === CARRIAGE_RETURN) line = line.subarray(0, -1);
    return tooLong || line.length > this.#maxBytes ? undefined : line;
  }
}
