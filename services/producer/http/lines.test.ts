import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyBudget } from './body-reader.ts';
import { Lines } from './lines.ts';

function cut(text: Buffer, sizes: readonly number[], max = 1_000): (string | undefined)[] {
  const budget = new BodyBudget(10_000);
  const lines = new Lines(max, budget);
  const out: (Buffer | undefined)[] = [];
  for (let at = 0, i = 0; at < text.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    out.push(...lines.push(text.subarray(at, at + size)));
    at += size;
  }
  out.push(...lines.end());
  expect(budget.heldBytes).toBe(0);
  return out.map((line) => line?.toString());
}

describe('lines', () => {
  it('are the same wherever the stream is cut', () => {
    const line = fc
      .string({ unit: 'binary', maxLength: 30 })
      .map((s) => s.toWellFormed().replaceAll(/[\r\n]/g, ''));
    const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(line),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        sizes,
        (texts, end, last, cuts) => {
          const text = Buffer.from(texts.map((t) => t + end).join('') + (last ? 'last' : ''));
          const expected = [...texts.filter((t) => t !== ''), ...(last ? ['last'] : [])];
          expect(cut(text, cuts)).toEqual(expected);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('that are too long are told, and their bytes are not kept', () => {
    const text = Buffer.from(
      `${'a'.repeat(11)}\n${'b'.repeat(10)}\r\n${'c'.repeat(1_000)}\nd\n${'e'.repeat(50)}`,
    );
    for (const size of [1, 3, 7, 5_000]) {
      expect(cut(text, [size], 10)).toEqual([undefined, 'b'.repeat(10), undefined, 'd', undefined]);
    }
  });
});
