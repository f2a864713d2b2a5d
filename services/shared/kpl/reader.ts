/** Why bytes are not the protobuf message they should be. */
export type AggregateProblem = 'truncated' | 'varint' | 'wire-type' | 'index' | 'missing-field' | 'not-utf8';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads protobuf out of bytes that may be hostile. It does not throw: the first problem is kept, and from there on
 * there is nothing more to read.
 */
export class Reader {
  readonly #buffer: Buffer;
  #at = 0;
  #end: number;
  #problem: AggregateProblem | undefined;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    this.#end = buffer.length;
  }

  get problem(): AggregateProblem | undefined {
    return this.#problem;
  }

  /** True while the message, or the part that was entered, has bytes left. */
  get more(): boolean {
    return this.#at < this.#end && this.#problem === undefined;
  }

  fail(problem: AggregateProblem): void {
    this.#problem ??= problem;
  }

  /** A varint of up to 53 bits, what a number holds exactly; larger ones can't be a length or an index here. */
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (this.#at >= this.#end) {
        this.fail('truncated');
        return 0;
      }
      const byte = this.#buffer[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      if (scale >= 2 ** 49) {
        this.fail('varint');
        return 0;
      }
    }
    if (Number.isSafeInteger(value)) return value;
    this.fail('varint');
    return 0;
  }

  /** Where a length-delimited field stands in the bytes. */
  span(into: { start: number; end: number }): void {
    const length = this.varint();
    into.start = this.#at;
    this.#pass(length);
    into.end = this.#at;
  }

  text(): string {
    const at = { start: 0, end: 0 };
    this.span(at);
    try {
      return utf8.decode(this.#buffer.subarray(at.start, at.end));
    } catch {
      this.fail('not-utf8');
      return '';
    }
  }

  /** Narrows reading to the next `length` bytes. @returns what `leave` needs. */
  enter(length: number): number {
    const outer = this.#end;
    if (length > outer - this.#at) this.fail('truncated');
    else this.#end = this.#at + length;
    return outer;
  }

  leave(outer: number): void {
    this.#end = outer;
  }

  /** Passes over a field that we don't know or don't need, such as a record's tags. */
  skip(tag: number): void {
    const wireType = tag % 8;
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.#pass(8);
    else if (wireType === 2) this.#pass(this.varint());
    else if (wireType === 5) this.#pass(4);
    else this.fail('wire-type');
  }

  #pass(bytes: number): void {
    if (bytes > this.#end - this.#at) this.fail('truncated');
    else this.#at += bytes;
  }
}
