import type { BodyBudget } from './body-reader.ts';

const MIN_CAPACITY = 1_024;
const EMPTY = Buffer.alloc(0);

/**
 * Bytes that come in pieces, put together as they come. Kept as pieces, a body in chunks of a byte each would take a
 * hundred times what it holds; here it never takes more than twice, and that is what the budget is charged.
 */
export class GatheredBytes {
  readonly #budget: BodyBudget;
  readonly #expected: number;
  #buffer: Buffer = EMPTY;
  #length = 0;
  #charged = 0;

  /** @param expected how many there will be, if somebody says so; no room is made before they come. */
  constructor(budget: BodyBudget, expected = Number.POSITIVE_INFINITY) {
    this.#budget = budget;
    this.#expected = expected;
  }

  get length(): number {
    return this.#length;
  }

  /** @throws NotStoredError `buffer-full` when the budget is used up; then nothing was added. */
  push(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#buffer.length) this.#grow(length);
    piece.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  /** The bytes so far. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Forgets the bytes and gives their room back to the budget. */
  clear(): void {
    this.#budget.give(this.#charged);
    this.#charged = 0;
    this.#buffer = EMPTY;
    this.#length = 0;
  }

  #grow(needed: number): void {
    const roomy = Math.max(needed, Math.min(Math.max(MIN_CAPACITY, 2 * needed), this.#expected));
    this.#budget.take(roomy - this.#charged);
    this.#charged = roomy;
    const grown = Buffer.allocUnsafe(roomy);
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}
