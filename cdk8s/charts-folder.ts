import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What has to be done to a folder so that it holds exactly the rendered files; paths are in the folder, with `/`. */
interface Differences {
  /** Not as rendered, or not there. */
  changed: string[];
  /** There, and not rendered. */
  stale: string[];
}

/** Compares a folder with the files that were rendered for it, by path. */
export function compare(folder: string, rendered: ReadonlyMap<string, string>): Differences {
  const present = new Set(
    globSync('**/*', { cwd: folder, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) =>
        join(entry.parentPath, entry.name).slice(join(folder, '/').length).replaceAll('\\', '/'),
      ),
  );
  return {
    changed: [...rendered.keys()].filter(
      (path) => !present.has(path) || readFileSync(join(folder, path), 'utf8') !== rendered.get(path),
    ),
    stale: [...present].filter((path) => !rendered.has(path)).sort(),
  };
}

/** Makes the folder hold exactly the rendered files. @returns what it did. */
export function write(folder: string, rendered: ReadonlyMap<string, string>): Differences {
  const differences = compare(folder, rendered);
  for (const path of differences.stale) rmSync(join(folder, path));
  for (const path of differences.changed) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), rendered.get(path) ?? '');
  }
  return differences;
}
