import { styleText } from 'node:util';

type Paint = 'red' | 'yellow' | 'dim' | undefined;

/**
 * A table for people: columns as wide as they need, numbers to the right.
 *
 * @param paintOf colour of a row, on a terminal and without NO_COLOR.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  paintOf: (row: number) => Paint = () => undefined,
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const numeric = header.map((_, column) =>
    rows.every((row) => /^(-|[-+]?[\d,.]+ ?%?)?$/.test(row[column] ?? '')),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        numeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  const lines = rows.map((row, i) => paint(line(row), paintOf(i)));
  return `${[line(header), ...lines].join('\n')}\n`;
}

/** Colour where standard output shows it: a terminal, and NO_COLOR (no-color.org) not set. */
export function paint(text: string, colour: Paint): string {
  return colour === undefined ? text : styleText(colour, text, { stream: process.stdout });
}

/** Prints one JSON object on a line of its own, for programs; `schemas.ts` says what is in it. */
export function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Text that came from events or tables, fit for a terminal: control characters could drive it. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
