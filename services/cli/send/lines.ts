import { InputError } from '../backtest/errors.ts';

/** Longer than any producer takes: a file without line ends must not fill the memory. */
const MAX_LINE_BYTES = 10 * 1024 * 1024;

/** Lines of an NDJSON file that go in one request. */
export interface LineBatch {
  /** Number of its first line, from 1. */
  firstLine: number;
  lines: Buffer[];
  /** Line of the file of each. */
  lineNumbers: number[];
  /** Number of the last line that was read for it, blank ones included. */
  lastLine: number;
}

/**
 * Cuts a stream of lines into batches: at `maxLines`, or at `maxBytes`. The same input is always cut at the same places,
 * from whichever batch on, so that a batch which is sent again after a crash is the same. Blank lines are passed over.
 *
 * @param skip lines to pass over: those of an earlier run.
 * @throws InputError for a line that is too long.
 */
export async function* batches(
  input: AsyncIterable<Buffer>,
  { maxLines, maxBytes, skip }: { maxLines: number; maxBytes: number; skip: number },
): AsyncGenerator<LineBatch> {
  let lineNumber = 0;
  let batch: LineBatch | undefined;
  let bytes = 0;
  for await (const line of linesOf(input)) {
    lineNumber++;
    if (lineNumber <= skip) continue;
    const isBlank = line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
    if (batch && (batch.lines.length >= maxLines || bytes + line.length + 1 > maxBytes) && !isBlank) {
      yield batch;
      batch = undefined;
    }
    if (isBlank) {
      if (batch) batch.lastLine = lineNumber;
      continue;
    }
    if (!batch) {
      batch = { firstLine: lineNumber, lines: [], lineNumbers: [], lastLine: lineNumber };
      bytes = 0;
    }
    batch.lines.push(line);
    batch.lineNumbers.push(lineNumber);
    batch.lastLine = lineNumber;
    bytes += line.length + 1;
  }
  if (batch) yield batch;
}

async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let held = 0;
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(10, start); end >= 0; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...parts, chunk.subarray(start, end)]);
      parts = [];
      held = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      held += chunk.length - start;
    }
    if (held > MAX_LINE_BYTES) {
      throw new InputError(`a line is longer than ${MAX_LINE_BYTES} bytes: expected one JSON object a line`);
    }
  }
  if (held > 0) yield Buffer.concat(parts);
}
