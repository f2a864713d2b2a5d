import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { backtest } from '../services/cli/commands/backtest.ts';
import type { Detector } from '../services/detectors/detector.ts';
import { DETECTOR_NAMES, loadDetector, parseDetectorParameters } from '../services/detectors/registry.ts';

const GUIDE = await readFile('docs/how-to/bring-your-detector.md', 'utf8');
const README = await readFile('services/detectors/README.md', 'utf8');

function blocks(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    ([, code = '']) => code,
  );
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bring-your-detector-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('the guide to bringing a detector', () => {
  it.each([...blocks(GUIDE, 'json'), ...blocks(README, 'json')])(
    'shows parameters that work: %s',
    async (json) => {
      const parameters = parseDetectorParameters(json);
      expect(parameters).toBeDefined();
      for (const name of Object.keys(parameters ?? {})) {
        await loadDetector(name, parameters ?? {}, { readModel: (path) => readFile(path) });
      }
    },
  );

  it('shows a command that weir takes', async () => {
    const [command = ''] = blocks(GUIDE, 'sh');
    const html = join(folder, 'plot.html');
    const csv = join(folder, 'events.csv');
    await writeFile(csv, 'timestamp,amount\n2026-03-01T00:00:00Z,1\n');
    const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word = '']) => quoted ?? word);
    const args = words
      .slice(words.indexOf('backtest') + 1)
      .map((word) => ({ 'events.csv': csv, 'plot.html': html })[word] ?? word);
    await backtest.parseAsync([...args, '--json'], { from: 'user' });
    expect(await readFile(html, 'utf8')).toContain('uPlot');
  });

  it('shows a detector that does what it says', async () => {
    const [code = '', registration = ''] = blocks(GUIDE, 'ts');
    const root = pathToFileURL(`${process.cwd()}/`);
    const file = join(folder, 'jump.ts');
    await writeFile(
      file,
      code
        .replace(/'\.\/(\w+\.ts)'/g, (_, name) => `'${new URL(`services/detectors/${name}`, root)}'`)
        .replace("'zod'", `'${import.meta.resolve('zod')}'`),
    );
    const { jumpDetector, jumpParameters } = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as {
      jumpDetector: (name: string, parameters: unknown) => Detector;
      jumpParameters: z.ZodType;
    };
    expect(registration).toContain('kind(jumpParameters, jumpDetector)');
    const detector = jumpDetector('jump', jumpParameters.parse({}));
    const state = detector.initial();
    const score = (on: unknown, amount: number) => detector.score(on, { source: 's', amount, timestamp: 0 });
    expect([5, 6, 0, 7, 100, -2000].map((amount) => score(state, amount).isAnomaly)).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
    ]);
    const copy = detector.decode(detector.encode(state), 1);
    expect(score(copy, 1e300)).toEqual(score(state, 1e300));
    expect(() => detector.decode(new Uint8Array(3), 1)).toThrow('3 bytes instead of 8');
    expect(() => detector.decode(new Uint8Array(8), 2)).toThrow('version 2');
  });

  it('is in a README that names every kind', () => {
    for (const name of [...DETECTOR_NAMES, 'onnx']) expect(README).toContain(`| \`${name}\``);
  });
});
