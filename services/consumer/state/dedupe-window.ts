/** Bytes of one id in the window and in its encoding. */
const ID_BYTES = 8;

/**
 * The last ids of one source, so that a producer's retry of a put that had been stored counts once: the first copy
 * wins, a later one within the window is told apart and passed over.
 *
 * It is part of the source's state: a redelivery that starts from the same state decides alike. It keeps 64 bits of
 * each id. Two different ids of one window then pass for one with a probability of size / 2^64: for 256 ids once in
 * 7 × 10^16 records.
 */
export class DedupeWindow {
  readonly #size: number;
  /** Two halves of each hash, in a ring: a scan of a typed array is quicker and smaller than a set of strings. */
  readonly #low: Uint32Array;
  readonly #high: Uint32Array;
  #count = 0;
  #next = 0;

  /** @param size ids it keeps, at least 1. */
  constructor(size: number) {
    this.#size = size;
    this.#low = new Uint32Array(size);
    this.#high = new Uint32Array(size);
  }

  /** Bytes it takes in memory, whatever it holds. */
  get bytes(): number {
    return this.#size * ID_BYTES;
  }

  /** True when `id` is new; it is remembered then, and the oldest one is forgotten when the window is full. */
  admit(id: string): boolean {
    hash(id);
    for (let at = this.#low.indexOf(low); at !== -1; at = this.#low.indexOf(low, at + 1)) {
      if (at < this.#count && this.#high[at] === high) return false;
    }
    this.#low[this.#next] = low;
    this.#high[this.#next] = high;
    this.#next = (this.#next + 1) % this.#size;
    if (this.#count < this.#size) this.#count++;
    return true;
  }

  /** The ids, oldest first, 8 bytes each. */
  encode(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#count * ID_BYTES);
    const oldest = this.#count < this.#size ? 0 : this.#next;
    for (let i = 0; i < this.#count; i++) {
      const at = (oldest + i) % this.#size;
      bytes.writeUInt32LE(this.#low[at] ?? 0, i * ID_BYTES);
      bytes.writeUInt32LE(this.#high[at] ?? 0, i * ID_BYTES + 4);
    }
    return bytes;
  }

  /** A window of `size` that holds what `encode` gave, the newest ids if there are more than it takes. */
  static decode(encoded: Uint8Array, size: number): DedupeWindow {
    const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
    const window = new DedupeWindow(size);
    const stored = Math.floor(bytes.length / ID_BYTES);
    for (let i = Math.max(0, stored - size); i < stored; i++) {
      window.#low[window.#next] = bytes.readUInt32LE(i * ID_BYTES);
      window.#high[window.#next] = bytes.readUInt32LE(i * ID_BYTES + 4);
      window.#next = (window.#next + 1) % size;
      window.#count++;
    }
    return window;
  }
}

/** The result of `hash`: two numbers without an allocation for each record. */
let low = 0;
let high = 0;

/**
 * 64 bits of a string: two lanes of multiply and xor over its UTF-16 units, mixed at the end (cyrb53 by bryc, with
 * all bits kept). Not against an adversary: who may write to the stream under a source's key may spoil that source anyway.
 */
function hash(text: string): void {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x9e3779b1);
    b = Math.imul(b ^ unit, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  low = a >>> 0;
  high = b >>> 0;
}
