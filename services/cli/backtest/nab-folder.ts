import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from './errors.ts';
import type { LabelledSeries } from './evaluate.ts';
import { parseLabels, windowsOf } from './labels.ts';
import { readSeries } from './read-series.ts';

/** Where the windows are: as NAB has them, or beside the data. */
const WINDOW_FILES = ['labels/combined_windows.json', 'windows.json'];

/**
 * A folder laid out as NAB is: `data/<group>/<series>.csv` and a file of windows by `<group>/<series>.csv`.
 *
 * @throws InputError
 */
export async function readNabFolder(folder: string): Promise<LabelledSeries[]> {
  const windows = await readWindows(folder);
  const data = join(folder, 'data');
  const names = await readdir(data, { recursive: true }).catch((error: Error) => {
    throw new InputError(`${data}: ${error.message}`, error);
  });
  const found: LabelledSeries[] = [];
  for (const name of names.map((path) => path.replaceAll('\\', '/')).sort()) {
    if (!name.endsWith('.csv')) continue;
    const labels = windows.get(name);
    if (!labels) throw new InputError(`${folder}: the windows file has no entry for ${name}`);
    for (const series of await readSeries(name, createReadStream(join(data, name)), { format: 'csv' })) {
      found.push({ ...series, group: name.split('/')[0] ?? '', windows: windowsOf(series, labels) });
    }
  }
  if (found.length === 0) throw new InputError(`${data}: no .csv files`);
  return found;
}

async function readWindows(folder: string) {
  for (const name of WINDOW_FILES) {
    const file = join(folder, name);
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw new InputError(`${file}: ${error.message}`, error);
    });
    if (text !== undefined) return parseLabels(file, text);
  }
  throw new InputError(`${folder}: there is neither ${WINDOW_FILES.join(' nor ')}`);
}
