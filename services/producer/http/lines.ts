const NEWLINE = 0x0a;

/**
 * Cuts a stream of bytes into lines, as NDJSON has them: `\n` ends one, `\r` before it and empty lines don't count. Keeps
 * no more than one unfinished line, up to a limit.
 */
export class Lines {
  readonly #maxBytes: number;
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** The line under way is over the limit: its bytes are dropped until it ends. */
  #tooLong = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns the lines that are now whole; undefined stands for one that was too long. */
  push(chunk: Buffer): (Buffer | undefined)[] {
    const lines: (Buffer | undefined)[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      this.#finish(lines);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  /** The last line, if the stream didn't end with a newline. */
  end(): (Buffer | undefined)[] {
    const lines: (Buffer | undefined)[] = [];
    this.#finish(lines);
    return lines;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    if (this.#restBytes + part.length > this.#maxBytes + 1) this.#tooLong = true;
    if (this.#tooLong) {
      this.#rest = [];
      this.#restBytes = 0;
      return;
    }
    this.#rest.push(part);
    this.#restBytes += part.length;
  }

  #finish(lines: (Buffer | undefined)[]): void {
    const [first] = this.#rest;
    let line = this.#rest.length > 1 || !first ? Buffer.concat(this.#rest) : first;
    if (line.at(-1) === 0x0d) line = line.subarray(0, -1);
    if (this.#tooLong || line.length > this.#maxBytes) lines.push(undefined);
    else if (line.length > 0) lines.push(line);
    this.#rest = [];
    this.#restBytes = 0;
    this.#tooLong = false;
  }
}
