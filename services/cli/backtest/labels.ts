import { InputError } from './errors.ts';
import { parseTime, type Series } from './read-series.ts';

/** First and last record, both in it. */
export type Window = readonly [first: number, last: number];

/** Labels of each series by its name, or of the only one under `''`: times, or pairs of them. */
export type Labels = ReadonlyMap<string, readonly unknown[]>;

/**
 * A labels file: a JSON array for a file with one series, or an object with an array for each series (by source or
 * file name). Its elements are times, or windows `[start, end]`.
 *
 * @throws InputError
 */
export function parseLabels(file: string, text: string): Labels {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${file}: no JSON: ${(error as Error).message}`, error);
  }
  if (Array.isArray(json)) return new Map([['', json]]);
  if (typeof json !== 'object' || json === null || !Object.values(json).every(Array.isArray)) {
    throw new InputError(`${file}: expected an array of labels, or an object of such arrays by series`);
  }
  return new Map(Object.entries(json));
}

/**
 * The labels of a series as windows of records, in order; those that touch become one. A single time gets the window of
 * NAB: centred on it, all windows of a series together a tenth of it.
 *
 * @throws InputError for a label that is no time, or that has no record.
 */
export function windowsOf(series: Series, labels: readonly unknown[]): Window[] {
  const { times } = series;
  const half = Math.floor((0.1 * times.length) / Math.max(1, labels.length) / 2);
  const windows = labels.map((label): [number, number] => {
    const pair = Array.isArray(label);
    const [start, end] = (pair ? label : [label, label]).map(parseTime);
    if (start === undefined || end === undefined || (pair && label.length !== 2) || start > end) {
      throw new InputError(
        `label ${JSON.stringify(label)} of ${series.name} is neither a time nor [start, end]`,
      );
    }
    if (!pair) {
      const at = nearest(times, start);
      return [Math.max(0, at - half), Math.min(times.length - 1, at + half)];
    }
    const first = times.findIndex((time) => time >= start && time <= end);
    if (first < 0) throw new InputError(`no record of ${series.name} lies in ${JSON.stringify(label)}`);
    return [first, times.findLastIndex((time) => time >= start && time <= end)];
  });
  windows.sort(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [first, last] of windows) {
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

function nearest(times: readonly number[], time: number): number {
  let best = 0;
  for (let n = 1; n < times.length; n++) {
    if (Math.abs((times[n] ?? 0) - time) < Math.abs((times[best] ?? 0) - time)) best = n;
  }
  return best;
}
