import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Files of uPlot that the page loads; `scripts/build.ts` puts them beside the bundle. */
export const VENDOR_FILES = ['uPlot.esm.js', 'uPlot.min.css'] as const;

/** The page's files: beside this service's source, or beside its bundle. */
export function assetFolders(): { page: string; vendor: string } {
  const bundled = fileURLToPath(new URL('public/', import.meta.url));
  if (existsSync(bundled)) return { page: bundled, vendor: `${bundled}vendor/` };
  return { page: fileURLToPath(new URL('../public/', import.meta.url)), vendor: uPlotFolder() };
}

/** Where npm put uPlot's own files. */
export function uPlotFolder(): string {
  return `${dirname(createRequire(import.meta.url).resolve('uplot'))}/`;
}
