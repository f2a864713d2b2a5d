import { pipeline, Readable } from 'node:stream';
import { parse as csvParser } from 'csv-parse';
import { InputError } from './errors.ts';

/** Longest row of a file. */
const MAX_ROW_BYTES = 1_048_576;

export interface ReadOptions {
  /** Left out: what the first byte that is no space says, `{` for NDJSON. */
  format?: 'csv' | 'ndjson';
  /** Names of the columns or fields; left out, the usual ones are looked for. */
  amount?: string;
  timestamp?: string;
  source?: string;
}

/** The records of one source, in the order of the file. */
export interface Series {
  /** The source; for files without one, the file. */
  name: string;
  /** ms since the epoch; may go backwards. */
  times: number[];
  amounts: number[];
}

const USUAL = {
  amount: ['amount', 'value'],
  timestamp: ['timestamp', 'time', 'datetime', 'date', 'ts'],
  source: ['source'],
} as const;

type Fields = Record<string, unknown>;
interface Row {
  line: number;
  fields: Fields;
}

/**
 * Reads the series of a file; calls `progress` with bytes as they come in.
 *
 * @throws InputError with file and line for what can't be read.
 */
export async function readSeries(
  file: string,
  input: Readable,
  options: ReadOptions,
  progress: (bytes: number) => void = () => {},
): Promise<Series[]> {
  const chunks = input[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const head: Buffer[] = [];
  let format = options.format;
  async function* all(): AsyncGenerator<Buffer> {
    for (const chunk of head) {
      progress(chunk.length);
      yield chunk;
    }
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      progress(next.value.length);
      yield next.value;
    }
  }

  const found = new Map<string, Series>();
  let columns: { amount: string; timestamp: string; source: string | undefined } | undefined;
  try {
    while (!format) {
      const { value, done } = await chunks.next();
      if (done) break;
      head.push(value);
      const [first] = value
        .toString('utf8')
        .replace(/^\ufeff/, '')
        .trimStart();
      if (first) format = first === '{' ? 'ndjson' : 'csv';
    }
    for await (const { line, fields } of format === 'ndjson' ? ndjson(all()) : csv(all())) {
      columns ??= chooseColumns(fields, options);
      const source = columns.source === undefined ? undefined : fields[columns.source];
      if (source !== undefined && typeof source !== 'string' && typeof source !== 'number') {
        throw new InputError(`${columns.source} is ${show(source)}, not text`);
      }
      const name = source === undefined || source === '' ? file : String(source);
      let series = found.get(name);
      if (!series) {
        series = { name, times: [], amounts: [] };
        found.set(name, series);
      }
      series.amounts.push(toAmount(fields[columns.amount], columns.amount, line));
      series.times.push(toTime(fields[columns.timestamp], columns.timestamp, line));
    }
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${file}: ${error.message}`, error);
    const { lines, message } = error as Error & { lines?: number };
    throw new InputError(`${file}: ${lines === undefined ? '' : `line ${lines}: `}${message}`, error);
  }
  if (found.size === 0) throw new InputError(`${file}: no records`);
  return [...found.values()];
}

async function* csv(input: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  const parser = csvParser({
    columns: true,
    bom: true,
    info: true,
    trim: true,
    skip_empty_lines: true,
    max_record_size: MAX_ROW_BYTES,
  });
  // An error of either ends up in the loop below.
  pipeline(Readable.from(input), parser, () => {});
  for await (const { record, info } of parser as AsyncIterable<{ record: Fields; info: { lines: number } }>) {
    yield { line: info.lines, fields: record };
  }
}

async function* ndjson(input: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  let line = 0;
  for await (const text of lines(input)) {
    line++;
    const content = line === 1 ? text.replace(/^\ufeff/, '').trim() : text.trim();
    if (content === '') continue;
    let fields: unknown;
    try {
      fields = JSON.parse(content);
    } catch (error) {
      throw new InputError(`line ${line}: no JSON: ${(error as Error).message}`, error);
    }
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
      throw new InputError(`line ${line}: ${show(fields)} is no JSON object`);
    }
    yield { line, fields: fields as Fields };
  }
}

async function* lines(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  for await (const chunk of input) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > MAX_ROW_BYTES)
      throw new InputError(`a line is longer than ${MAX_ROW_BYTES} characters`);
    yield* parts;
  }
  if (rest !== '') yield rest;
}

function chooseColumns(fields: Fields, options: ReadOptions) {
  const choose = (role: keyof typeof USUAL): string | undefined => {
    const named = options[role];
    if (named !== undefined && !Object.hasOwn(fields, named)) {
      throw new InputError(`there is no column ${show(named)}; there are: ${Object.keys(fields).join(', ')}`);
    }
    return named ?? USUAL[role].find((name) => Object.hasOwn(fields, name));
  };
  const need = (role: 'amount' | 'timestamp'): string => {
    const column = choose(role);
    if (column !== undefined) return column;
    throw new InputError(
      `no column is called ${USUAL[role].join(' or ')}; name one of them with --${role}: ${Object.keys(fields).join(', ')}`,
    );
  };
  return { amount: need('amount'), timestamp: need('timestamp'), source: choose('source') };
}

function toAmount(value: unknown, column: string, line: number): number {
  const amount = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof amount === 'number' && Number.isFinite(amount)) return amount;
  throw new InputError(`line ${line}: ${column} is ${show(value)}, not a finite number`);
}

function toTime(value: unknown, column: string, line: number): number {
  const time = parseTime(value);
  if (time !== undefined) return time;
  throw new InputError(
    `line ${line}: ${column} is ${show(value)}, no time (ISO 8601, or seconds or ms since the epoch)`,
  );
}

/** ISO 8601 (a space for the T is taken, without an offset it is UTC), or a number: seconds, from 1e11 on ms. */
export function parseTime(value: unknown): number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const text = String(value).trim();
  if (/^-?\d+(\.\d+)?$/.test(text)) {
    const time = Math.abs(Number(text)) < 1e11 ? Number(text) * 1000 : Number(text);
    return Math.abs(time) <= 8.64e15 ? time : undefined;
  }
  const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?)?$/i.exec(text);
  if (!iso) return undefined;
  const time = Date.parse(`${iso[1]}T${iso[2] ?? '00:00'}${iso[3] ?? 'Z'}`);
  return Number.isNaN(time) ? undefined : time;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
