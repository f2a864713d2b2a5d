import { basename } from 'node:path';
import { parse } from 'csv-parse/sync';
import { type Trace, traceOfPoints } from '../../controller/scaling/simulator/trace.ts';
import { WeirError } from '../../shared/errors.ts';

/** A year of minutes. */
const MAX_POINTS = 600_000;

/**
 * A trace out of CSV text: on each line a time, in seconds or ISO 8601, and records a second. A first line that isn't
 * numbers is a header; further columns are passed over.
 *
 * @throws WeirError `trace-invalid` naming the line.
 */
export function readTrace(file: string, text: string): Trace {
  let lines: string[][];
  try {
    lines = parse(text, {
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      bom: true,
      to: MAX_POINTS + 2,
    });
  } catch (error) {
    throw new WeirError('trace-invalid', `${file} is no CSV: ${(error as Error).message}`);
  }
  const isHeader = lines[0] !== undefined && !Number.isFinite(secondsOf(lines[0][0]));
  const points = (isHeader ? lines.slice(1) : lines).map(([time, rate], i) => {
    const point = { seconds: secondsOf(time), rate: rate ? Number(rate) : Number.NaN };
    const where = `${file}, line ${i + (isHeader ? 2 : 1)}`;
    if (!Number.isFinite(point.seconds))
      throw new WeirError('trace-invalid', `${where}: "${time}" is neither seconds nor an ISO 8601 time`);
    if (!(point.rate >= 0 && point.rate < 1e9))
      throw new WeirError('trace-invalid', `${where}: "${rate ?? ''}" is no number of records a second`);
    return point;
  });
  if (points.length < 2)
    throw new WeirError('trace-invalid', `${file} needs at least two lines with a time and a rate`);
  if (points.length > MAX_POINTS)
    throw new WeirError('trace-invalid', `${file} has more than ${MAX_POINTS} lines`);
  for (const [i, point] of points.entries()) {
    const before = points[i - 1];
    if (before && point.seconds <= before.seconds)
      throw new WeirError(
        'trace-invalid',
        `${file}: times must grow from line to line; the one of point ${i + 1} doesn't`,
      );
  }
  const trace = traceOfPoints(basename(file), points);
  if (trace.seconds > 31 * 86_400) throw new WeirError('trace-invalid', `${file} spans more than 31 days`);
  return trace;
}

function secondsOf(text: string | undefined): number {
  if (!text) return Number.NaN;
  const seconds = Number(text);
  return Number.isFinite(seconds) ? seconds : Date.parse(text) / 1000;
}
