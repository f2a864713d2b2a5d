import { createReadStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { stdin } from 'node:process';
import { Command, Option } from 'commander';
import { loadDetector, parseDetectorParameters } from '../../detectors/registry.ts';
import { InputError } from '../backtest/errors.ts';
import { type LabelledSeries, type Run, run } from '../backtest/evaluate.ts';
import { toHtml } from '../backtest/html.ts';
import { type Labels, parseLabels, windowsOf } from '../backtest/labels.ts';
import { readNabFolder } from '../backtest/nab-folder.ts';
import { type ReadOptions, readSeries } from '../backtest/read-series.ts';
import { type DetectorRuns, toReport, toText } from '../backtest/report.ts';
import { printJson } from '../output.ts';
import { Progress } from '../progress.ts';

interface Options extends ReadOptions {
  detector: string[];
  params: string;
  labels?: string;
  nab?: string;
  html?: string;
  json?: boolean;
}

export const backtest = new Command('backtest')
  .description('Runs detectors over files of events: alarms, their rate, and with labels how good they are.')
  .argument('[file...]', 'CSV with a header, or NDJSON; - is the standard input')
  .option('-d, --detector <name...>', 'detectors to run', ['threshold', 'adaptive'])
  .option('--params <json>', 'parameters by detector, as DETECTOR_PARAMS holds them', '{}')
  .addOption(
    new Option('--format <format>', 'instead of what the file looks like').choices(['csv', 'ndjson']),
  )
  .option('--amount <column>', 'column of the amount (amount, value)')
  .option('--timestamp <column>', 'column of the time (timestamp, time, datetime, date, ts)')
  .option('--source <column>', 'column of the source (source); without one a file is one source')
  .option(
    '--labels <file>',
    'JSON: an array of times or [start, end] windows, or an object of such by source or file',
  )
  .option('--nab <folder>', 'a folder laid out as the Numenta Anomaly Benchmark, instead of files')
  .option('--html <file>', 'also write plots as one page that needs no network')
  .option('--json', 'print one JSON object for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir backtest readings.csv --detector adaptive
  weir backtest readings.csv --labels labels.json --html report.html
  weir backtest --nab ./NAB --json`,
  )
  .action(async (files: string[], options: Options) => {
    const parameters = parseDetectorParameters(options.params);
    if (!parameters) throw new InputError('--params: expected a JSON object of objects');
    const detectors = await Promise.all(
      [...new Set(options.detector)].map((name) =>
        loadDetector(name, parameters, { readModel: (path) => readFile(path) }),
      ),
    );
    const series = await read(files, options);
    const bar = new Progress(
      'scoring',
      series.reduce((sum, { times }) => sum + times.length, 0) * detectors.length,
    );
    const all: DetectorRuns[] = [];
    for (const detector of detectors) {
      const runs: Run[] = [];
      for (const one of series) {
        runs.push(await run(detector, one, (records) => bar.add(records)));
        await new Promise(setImmediate); // lets the progress be drawn
      }
      all.push({ detector: detector.name, runs });
    }
    bar.stop();
    if (options.html !== undefined) {
      await writeFile(options.html, await toHtml(all)).catch((error: Error) => {
        throw new InputError(`--html: ${error.message}`, error);
      });
    }
    if (options.json) return printJson(toReport(all));
    process.stdout.write(toText(all, options.nab !== undefined));
  });

async function read(files: readonly string[], options: Options): Promise<LabelledSeries[]> {
  if (options.nab !== undefined) {
    if (files.length > 0 || options.labels !== undefined) {
      throw new InputError('--nab brings its own files and labels: leave out files and --labels');
    }
    return readNabFolder(options.nab);
  }
  if (files.length === 0) throw new InputError('name at least one file, - for the standard input, or --nab');
  const labels = options.labels === undefined ? undefined : await readLabels(options.labels);
  const found: LabelledSeries[] = [];
  for (const file of files) {
    const name = file === '-' ? 'stdin' : basename(file);
    const size =
      file === '-'
        ? 0
        : await stat(file).then(
            ({ size }) => size,
            () => 0,
          );
    const bar = new Progress(`reading ${name}`, size);
    // Last: an error that comes before somebody reads would end the process.
    const stream = file === '-' ? stdin : createReadStream(file);
    const all = await readSeries(name, stream, options, (bytes) => bar.add(bytes)).finally(() => bar.stop());
    for (const series of all) found.push({ ...series, group: name, windows: undefined });
  }
  return labels ? attach(found, labels) : found;
}

async function readLabels(file: string): Promise<Labels> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new InputError(error.message, error);
  });
  return parseLabels(file, text);
}

/** Each label belongs to a series that is there: a misspelt one must not pass for a miss. */
function attach(series: readonly LabelledSeries[], labels: Labels): LabelledSeries[] {
  if (labels.has('') && series.length > 1) {
    throw new InputError(
      `labels are an array, but there are ${series.length} series: use an object by series`,
    );
  }
  const names = new Set(series.map(({ name }) => name));
  for (const name of labels.keys()) {
    if (name !== '' && !names.has(name))
      throw new InputError(`there are labels of ${name}, but no such series`);
  }
  return series.map((one) => {
    const own = labels.get('') ?? labels.get(one.name);
    return own ? { ...one, windows: windowsOf(one, own) } : one;
  });
}
