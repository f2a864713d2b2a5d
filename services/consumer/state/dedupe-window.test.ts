import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DedupeWindow } from './dedupe-window.ts';

describe('the window of ids', () => {
  it('does what a list of the last ids does, also after it was stored and loaded at any moment', () => {
    const ids = fc.array(fc.nat(12), { maxLength: 60 });
    fc.assert(
      fc.property(ids, fc.integer({ min: 1, max: 9 }), fc.nat(60), (sequence, size, storedAt) => {
        let window = new DedupeWindow(size);
        const last: number[] = [];
        for (const [n, id] of sequence.entries()) {
          if (n === storedAt) window = DedupeWindow.decode(window.encode(), size);
          const isNew = !last.includes(id);
          expect(window.admit(`id-${id}`)).toBe(isNew);
          if (isNew) last.push(id);
          if (last.length > size) last.shift();
        }
      }),
    );
  });

  it('keeps the newest ids when it is made smaller, and all when it is made larger', () => {
    const window = new DedupeWindow(4);
    for (const id of ['a', 'b', 'c', 'd', 'e']) window.admit(id);
    const smaller = DedupeWindow.decode(window.encode(), 2);
    expect(['d', 'e', 'c'].map((id) => smaller.admit(id))).toEqual([false, false, true]);
    const larger = DedupeWindow.decode(window.encode(), 8);
    expect(['b', 'e', 'a'].map((id) => larger.admit(id))).toEqual([false, false, true]);
  });

  it('tells ids apart that differ in one character, and takes 8 bytes for each', () => {
    const window = new DedupeWindow(5_000);
    for (let n = 0; n < 5_000; n++) expect(window.admit(`01890a5d-ac96-774b-bcce-${n}`)).toBe(true);
    expect(window.encode().byteLength).toBe(40_000);
    expect(window.bytes).toBe(40_000);
  });
});
