import { hash } from 'node:crypto';

/**
 * Hash keys are whole numbers from 0 to 2^128 - 1. Inside the double they are 32 hexadecimal digits: such strings
 * compare like the numbers, and routing a record needs no big integers. The API shows them in decimal.
 */
export type HashKey = string;

/** Both ends belong to the range. */
export interface HashRange {
  readonly start: HashKey;
  readonly end: HashKey;
}

const SPACE = 1n << 128n;
const MAX_HASH_KEY = toHashKey(SPACE - 1n);

/** The hash key of a partition key: its MD5. */
export function hashPartitionKey(partitionKey: string): HashKey {
  return hash('md5', partitionKey, 'hex');
}

function toHashKey(value: bigint): HashKey {
  return value.toString(16).padStart(32, '0');
}

function toBigInt(key: HashKey): bigint {
  return BigInt(`0x${key}`);
}

export function toDecimal(key: HashKey): string {
  return toBigInt(key).toString();
}

/** @returns undefined for what is no decimal number from 0 to 2^128 - 1. */
export function parseDecimal(text: string): HashKey | undefined {
  if (!/^(0|[1-9]\d{0,38})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value < SPACE ? toHashKey(value) : undefined;
}

/** `count` ranges of equal size, the last one a little larger where it doesn't divide, as CreateStream lays them out. */
export function evenRanges(count: number): HashRange[] {
  const size = SPACE / BigInt(count);
  return Array.from({ length: count }, (_, i) => ({
    start: toHashKey(size * BigInt(i)),
    end: i === count - 1 ? MAX_HASH_KEY : toHashKey(size * BigInt(i + 1) - 1n),
  }));
}

/** The two parts of a range of which the second begins at `at`. */
export function divide(range: HashRange, at: HashKey): [HashRange, HashRange] {
  return [
    { start: range.start, end: toHashKey(toBigInt(at) - 1n) },
    { start: at, end: range.end },
  ];
}

/** True when `at` may begin a new shard inside `range`: SplitShard leaves two keys or more on its left and two on its right. */
export function mayDivide(range: HashRange, at: HashKey): boolean {
  return toBigInt(at) > toBigInt(range.start) + 1n && at < range.end;
}

/** True when `right` begins where `left` ends. */
export function adjoins(left: HashRange, right: HashRange): boolean {
  return toBigInt(left.end) + 1n === toBigInt(right.start);
}
