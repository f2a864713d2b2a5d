import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parse as parseCsv } from 'csv-parse/sync';

/** An event as it is posted. */
export interface DemoEvent {
  source: string;
  amount: number;
  /** ISO 8601; left out when the data has none. */
  timestamp?: string;
  [field: string]: unknown;
}

/** Which fields of a row are what; the others are kept as they are. */
export interface FieldNames {
  source: string;
  amount: string;
  timestamp: string;
}

/** The data can't be used; the message names file, row and field. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError';
}

type Row = Record<string, unknown>;

interface Flight {
  date: string;
  delay: number;
  distance: number;
  origin: string;
  destination: string;
}

/**
 * 20,000 flights within the USA in 2001 (Bureau of Transportation Statistics, by way of the npm package
 * vega-datasets): `source` is the origin airport, `amount` the delay on arrival in minutes.
 */
export function loadFlights(): DemoEvent[] {
  // The package exports its entry only; the data lie beside it.
  const file = new URL('../data/flights-20k.json', import.meta.resolve('vega-datasets'));
  const flights = JSON.parse(readFileSync(file, 'utf8')) as Flight[];
  return inTimeOrder(
    flights.map(({ date, delay, origin, ...rest }) => ({
      source: origin,
      amount: delay,
      timestamp: `${date.replaceAll('/', '-').replace(' ', 'T')}:00Z`,
      ...rest,
    })),
  );
}

/**
 * Events out of a file of the user's.
 *
 * @param path ending in `.ndjson`, `.json` (an array of objects) or `.csv` (with a header line).
 * @throws DatasetError naming the file, the row (a line for NDJSON) and the field that is not usable.
 */
export function loadFile(path: string, fields: FieldNames): DemoEvent[] {
  const events = readRows(path).map(({ row, place }) => toEvent(row, place, fields));
  if (events.length === 0) throw new DatasetError(`${path}: holds no events`);
  return inTimeOrder(events);
}

function readRows(path: string): { row: unknown; place: string }[] {
  const type = extname(path).toLowerCase();
  if (!['.ndjson', '.json', '.csv'].includes(type)) {
    throw new DatasetError(`${path}: expected a file that ends in .ndjson, .json or .csv`);
  }
  const text = read(path);
  if (type === '.ndjson') {
    return text.split('\n').flatMap((line, i) => {
      const place = `${path}:${i + 1}`;
      return line.trim() === '' ? [] : [{ row: parseJson(line, place), place }];
    });
  }
  const rows = type === '.json' ? parseJson(text, path) : csvRows(text, path);
  if (!Array.isArray(rows)) throw new DatasetError(`${path}: expected an array of objects`);
  return rows.map((row: unknown, i) => ({ row, place: `${path}: row ${i + 1}` }));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new DatasetError(`${path}: can't be read (${(error as NodeJS.ErrnoException).code})`, {
      cause: error,
    });
  }
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DatasetError(`${place}: is not JSON: ${(error as Error).message}`, { cause: error });
  }
}

function csvRows(text: string, path: string): unknown {
  try {
    return parseCsv(text, { columns: true, skip_empty_lines: true, trim: true, bom: true });
  } catch (error) {
    throw new DatasetError(`${path}: is not CSV: ${(error as Error).message}`, { cause: error });
  }
}

function toEvent(row: unknown, place: string, fields: FieldNames): DemoEvent {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    throw new DatasetError(`${place}: expected an object`);
  }
  const { [fields.source]: source, [fields.amount]: amount, [fields.timestamp]: time, ...rest } = row as Row;
  if ((typeof source !== 'string' && typeof source !== 'number') || source === '') {
    throw bad(place, fields.source, source, 'a name', '--source-field');
  }
  const value = amount === '' || typeof amount === 'boolean' || amount === null ? Number.NaN : Number(amount);
  if (!Number.isFinite(value)) throw bad(place, fields.amount, amount, 'a number', '--amount-field');
  const timestamp = time === undefined || time === '' ? undefined : toIso(time);
  if (timestamp === null) throw bad(place, fields.timestamp, time, 'a date', '--timestamp-field');
  return {
    source: String(source),
    amount: value,
    ...(timestamp === undefined ? {} : { timestamp }),
    ...rest,
  };
}

function bad(place: string, field: string, value: unknown, expected: string, option: string): DatasetError {
  const shown = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 60);
  return new DatasetError(
    `${place}: field "${field}": expected ${expected}, found ${shown} (choose the field with ${option})`,
  );
}

function toIso(value: unknown): string | null {
  const time =
    typeof value === 'string' || typeof value === 'number' ? new Date(value).getTime() : Number.NaN;
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

/** By time; equal times, and data without any, stay in the order of the file. */
function inTimeOrder(events: DemoEvent[]): DemoEvent[] {
  const time = (event: DemoEvent) => (event.timestamp === undefined ? 0 : Date.parse(event.timestamp));
  return events.sort((a, b) => time(a) - time(b));
}
