import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonArray, TOO_LARGE } from './json-body.ts';
import { Turns } from './turns.ts';

const MAX = 1_000_000;
/** Makes an array large enough to be taken apart. */
const padded = (text: string) =>
  Buffer.from(text.replace(/\]\s*$/, `${text.trim() === '[]' ? '' : ','}"${'x'.repeat(140_000)}"]`));

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
    expect(values).toEqual([1, TOO_LARGE, { a: 2 }]);
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
