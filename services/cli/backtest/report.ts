import { formatTable } from '../output.ts';
import { type NabResult, nab, type Quality, quality, type Run } from './evaluate.ts';
import { NAB_PROFILES, nabScore } from './nab-score.ts';

/** All runs of one detector. */
export interface DetectorRuns {
  detector: string;
  runs: readonly Run[];
}

/** What `--json` prints. Figures of labels are left out where there are none. */
export interface Report {
  detectors: {
    detector: string;
    series: number;
    records: number;
    alarms: number;
    alarmsPer10k: number;
    microsecondsPerRecord: number;
    quality?: Quality;
    nab?: NabResult[];
    bySeries: {
      series: string;
      group: string;
      records: number;
      quality?: Quality;
      alarms: { record: number; timestamp: string; amount: number; score: number; explanation?: string }[];
    }[];
  }[];
}

export function toReport(all: readonly DetectorRuns[]): Report {
  return {
    detectors: all.map(({ detector, runs }) => {
      const records = runs.reduce((sum, { scores }) => sum + scores.length, 0);
      const alarms = runs.reduce((sum, run) => sum + run.alarms.length, 0);
      const seconds = runs.reduce((sum, run) => sum + run.seconds, 0);
      const labelled = runs.filter(({ series }) => series.windows);
      const scores = nab(runs);
      return {
        detector,
        series: runs.length,
        records,
        alarms,
        alarmsPer10k: (alarms / records) * 10_000,
        microsecondsPerRecord: (seconds / records) * 1e6,
        ...(labelled.length > 0 && { quality: quality(labelled) }),
        ...(scores.length > 0 && { nab: scores }),
        bySeries: runs.map((run) => ({
          series: run.series.name,
          group: run.series.group,
          records: run.scores.length,
          ...(run.series.windows && { quality: quality([run]) }),
          alarms: run.alarms.map(({ record, score, explanation }) => ({
            record,
            timestamp: new Date(run.series.times[record] ?? 0).toISOString(),
            amount: run.series.amounts[record] ?? 0,
            score,
            ...(explanation !== undefined && { explanation }),
          })),
        })),
      };
    }),
  };
}

const fixed = (value: number | undefined, digits: number) =>
  value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits);

/** The report for people: one row a detector; with `groups` also one for each of its groups. */
export function toText(all: readonly DetectorRuns[], groups: boolean): string {
  const report = toReport(all);
  const labelled = report.detectors.some((entry) => entry.quality);
  const parts = [
    formatTable(
      [
        'detector',
        'series',
        'records',
        'alarms',
        'per 10,000',
        'µs a record',
        ...(labelled ? ['windows', 'found', 'false alarms', 'precision', 'recall', 'F1'] : []),
      ],
      report.detectors.map((entry) => [
        entry.detector,
        String(entry.series),
        String(entry.records),
        String(entry.alarms),
        fixed(entry.alarmsPer10k, 1),
        fixed(entry.microsecondsPerRecord, 2),
        ...(labelled && entry.quality
          ? [
              String(entry.quality.windows),
              String(entry.quality.found),
              String(entry.quality.falseAlarms),
              fixed(entry.quality.precision, 3),
              fixed(entry.quality.recall, 3),
              fixed(entry.quality.f1, 3),
            ]
          : []),
      ]),
    ),
  ];
  if (groups) parts.push(groupTable(all));
  const scored = report.detectors.filter((entry) => entry.nab);
  if (scored.length > 0) {
    parts.push(
      formatTable(
        ['NAB score', 'profile', 'best threshold', 'score', 'own decision'],
        scored.flatMap((entry) =>
          (entry.nab ?? []).map(({ profile, score, threshold, own }) => [
            entry.detector,
            profile,
            Number.isFinite(threshold) ? threshold.toFixed(4) : '-',
            fixed(score, 1),
            fixed(own, 1),
          ]),
        ),
      ),
    );
  }
  return parts.join('\n');
}

/** The standard score by group, each at the threshold that is best for all of them together. */
function groupTable(all: readonly DetectorRuns[]): string {
  const [standard] = NAB_PROFILES;
  if (!standard) return '';
  const rows = all.flatMap(({ detector, runs }) => {
    const corpus = (some: readonly Run[]) =>
      some.map(({ scores, series }) => ({ scores, windows: series.windows ?? [] }));
    const { threshold } = nabScore(corpus(runs), standard);
    return [...Map.groupBy(runs, ({ series }) => series.group)].map(([group, some]) => {
      const { windows, found, falseAlarms } = quality(some);
      const { score } = nabScore(corpus(some), standard, threshold);
      return [
        detector,
        group,
        String(some.length),
        String(windows),
        String(found),
        String(falseAlarms),
        fixed(score, 1),
      ];
    });
  });
  return formatTable(
    ['detector', 'group', 'series', 'windows', 'found', 'false alarms', 'NAB standard'],
    rows,
  );
}
