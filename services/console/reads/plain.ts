import type { AttributeValue } from '@aws-sdk/client-dynamodb';

/**
 * A DynamoDB value as JSON has it. A number that JavaScript can't hold stays the text of its digits; binary values, of
 * which events have none, become a word on their size.
 */
export function plain(value: AttributeValue): unknown {
  if (value.S !== undefined) return value.S;
  if (value.N !== undefined) {
    const number = Number(value.N);
    return Number.isSafeInteger(number) || !/^-?\d{16,}$/.test(value.N) ? number : value.N;
  }
  if (value.BOOL !== undefined) return value.BOOL;
  if (value.L) return value.L.map(plain);
  if (value.M) return plainRow(value.M);
  if (value.SS) return value.SS;
  if (value.NS) return value.NS.map((N) => plain({ N }));
  if (value.B) return `(${value.B.byteLength} bytes)`;
  return null;
}

/** A row as a JSON object. `fromEntries` defines `__proto__` as a field like any other. */
export function plainRow(row: Record<string, AttributeValue>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));
}
