import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkedPieces, isLarge, parseArray, parseJson, parsePiece } from './json-body.ts';
import { piecesOf } from './json-text.ts';
import { HttpProblem } from './problems.ts';
import { Turns } from './turns.ts';

const MAX = 1_000_000;
/** Makes an array large enough to be taken apart. */
const padded = (text: string) =>
  Buffer.from(text.replace(/\]\s*$/, `${text.trim() === '[]' ? '' : ','}"${'x'.repeat(140_000)}"]`));

/** As a batch reads it. */
async function parseJsonArray(bytes: Buffer, maxElements: number, maxElementBytes: number, turns: Turns) {
  if (!isLarge(bytes)) return parseArray(bytes, maxElements);
  const { pieces, elements } = await checkedPieces(bytes, maxElements, maxElementBytes, turns);
  const values = pieces.flatMap((piece) => parsePiece(piece, maxElementBytes));
  expect(values).toHaveLength(elements);
  return values;
}

describe('a JSON array', () => {
  it('that is large is read element by element, to the same as by JSON.parse', async () => {
    const element = fc.oneof(
      fc.json(),
      fc.string().map((s) => JSON.stringify(`"\\${s}[{,`)),
    );
    const space = fc.constantFrom('', ' ', '\n', '\t\r\n');
    await fc.assert(
      fc.asyncProperty(fc.array(element, { maxLength: 20 }), space, async (elements, gap) => {
        const text = `${gap}[${elements.map((e) => `${gap}${e}${gap}`).join(',')}]${gap}`;
        const large = padded(text);
        expect(await parseJsonArray(large, MAX, MAX, new Turns())).toEqual(JSON.parse(large.toString()));
        expect(await parseJsonArray(Buffer.from(text), MAX, MAX, new Turns())).toEqual(JSON.parse(text));
      }),
    );
  });

  it('that is large is read without its elements that are too large', async () => {
    const element = `{"pad":"${'x'.repeat(140_000)}"}`;
    const values = await parseJsonArray(Buffer.from(`[1,${element},{"a":2}]`), MAX, 100_000, new Turns());
    expect(values).toEqual([1, expect.any(HttpProblem), { a: 2 }]);
    expect(values[1]).toMatchObject({ code: 'body-too-large' });
  });

  it('that is large is the same in pieces of any size', async () => {
    const event = (n: number) => ({ n, pad: 'x'.repeat((n * 7919) % 3_000), nested: [[n], { n }, '"],['] });
    const events = Array.from({ length: 400 }, (_, n) => event(n));
    const bytes = Buffer.from(JSON.stringify(events));
    for (const max of [1, 500, 3_200, 40_000, MAX]) {
      const pieces = [...piecesOf(bytes, max)].filter((piece) => piece !== undefined);
      expect(pieces.every(({ text, elements }) => elements === 1 || text.length <= max)).toBe(true);
      expect(pieces.flatMap((piece) => parsePiece(piece, MAX))).toEqual(events);
    }
  });

  it('of which a piece is nothing but a comma is not JSON', async () => {
    const pad = `"${'x'.repeat(140_000)}"`;
    for (const text of [`[${pad},]`, `[,${pad}]`, `[${pad}, ,${pad}]`]) {
      const read = parseJsonArray(Buffer.from(text), MAX, MAX, new Turns());
      await expect(read).rejects.toMatchObject({ code: 'body-invalid' });
    }
  });

  it.each([
    ['brackets', '['.repeat(5_000_000)],
    ['quotes', `"${'\\"'.repeat(2_500_000)}"`],
  ])('lets others have their turn also in an element of millions of %s', (_, element) => {
    const pauses = [...piecesOf(Buffer.from(`[${element}]`), MAX)].filter((piece) => piece === undefined);
    expect(pauses.length).toBeGreaterThan(10);
  });

  it.each([
    ['nothing', ''],
    ['an object', '{"a":1}'],
    ['a bracket too few', '[1,2'],
    ['a bracket too many', '[1]]'],
    ['a comma at the end', '[1,]'],
    ['two commas', '[1,,2]'],
    ['half a string', '["a]'],
    ['text after it', '[1] x'],
    ['two arrays', '[1][2]'],
    ['crossed brackets', '[{"a":[1}]]'],
    ['one bracket', '['],
  ])('is not %s, small or large', async (_, text) => {
    await expect(parseJsonArray(Buffer.from(text), MAX, MAX, new Turns())).rejects.toMatchObject({
      code: 'body-invalid',
    });
    const large = Buffer.from(`${text}${' '.repeat(140_000)}`);
    await expect(parseJsonArray(large, MAX, MAX, new Turns())).rejects.toMatchObject({
      code: 'body-invalid',
    });
  });

  it('that is large is refused when an element in the middle is not JSON or not UTF-8', async () => {
    const pad = `"${'x'.repeat(140_000)}"`;
    for (const bad of [Buffer.from('{"a":}'), Buffer.from([0x22, 0xff, 0x22])]) {
      const bytes = Buffer.concat([Buffer.from(`[1,${pad},`), bad, Buffer.from(',2]')]);
      await expect(parseJsonArray(bytes, MAX, MAX, new Turns())).rejects.toMatchObject({
        code: 'body-invalid',
      });
    }
  });

  it('may have so many elements and no more', async () => {
    for (const pad of ['', ' '.repeat(140_000)]) {
      expect(await parseJsonArray(Buffer.from(`[1,2,3${pad}]`), 3, MAX, new Turns())).toEqual([1, 2, 3]);
      await expect(parseJsonArray(Buffer.from(`[1,2,3,4${pad}]`), 3, MAX, new Turns())).rejects.toMatchObject(
        {
          code: 'body-too-large',
        },
      );
    }
  });

  it('of 10 MB lets others have their turn', async () => {
    const event = `{"source":"s","amount":1,"pad":"${'x'.repeat(200)}"}`;
    const bytes = Buffer.from(`[${Array(40_000).fill(event).join(',')}]`);
    let turns = 0;
    const count = setInterval(() => turns++, 0);
    const values = await parseJsonArray(bytes, MAX, MAX, new Turns());
    clearInterval(count);
    expect(values).toHaveLength(40_000);
    expect(turns).toBeGreaterThan(5);
  });
});

describe('JSON that would take many times its bytes', () => {
  const parts = (n: number) => `{"amount":1,"x":[${Array(n).fill('{}').join(',')}]}`;

  it('is told by its text, and not parsed', async () => {
    expect(parseJson(Buffer.from(parts(1_998)))).toMatchObject({ amount: 1 });
    for (const text of [parts(80_000), '['.repeat(100_000), `{${'"a":1,'.repeat(5_000)}"amount":1}`]) {
      // The last bracket is missing: a parser would say so.
      expect(() => parseJson(Buffer.from(text.slice(0, -1)))).toThrow(/more than 2000 keys/);
    }
    const bytes = Buffer.from(`[{"amount":1},${parts(60_000)},{"amount":2}]`);
    const values = await parseJsonArray(bytes, MAX, MAX, new Turns());
    expect(values).toEqual([{ amount: 1 }, expect.any(HttpProblem), { amount: 2 }]);
    expect(values[1]).toMatchObject({ code: 'event-invalid' });
  });

  it('is none for what stands in strings, nor for long arrays of plain values', () => {
    for (const text of [`{"a":"${'{[:'.repeat(50_000)}\\""}`, `{"a":[${'1,'.repeat(50_000)}1]}`]) {
      expect(parseJson(Buffer.from(text))).toEqual(JSON.parse(text));
    }
  });
});
