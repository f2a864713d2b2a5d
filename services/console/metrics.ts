import { Counter, Gauge, type Registry } from 'prom-client';

export type ConsoleMetrics = ReturnType<typeof createConsoleMetrics>;

/** What the console reads again and again while somebody looks, and what it reads when somebody asks. */
const READINGS = [
  'metrics',
  'leases',
  'shards',
  'anomalies',
  'dead-letters',
  'stream-scaler',
  'record',
  'source',
  'search',
] as const;
export type ReadingName = (typeof READINGS)[number];

/** All metrics of the console. */
export function createConsoleMetrics(registry: Registry) {
  const registers = [registry];
  const metrics = {
    reads: new Counter({
      name: 'weir_console_reads_total',
      help: 'Readings of what the page shows, by what was read and whether it could be.',
      labelNames: ['reading', 'outcome'],
      registers,
    }),
    viewers: new Gauge({
      name: 'weir_console_viewers',
      help: 'Pages that are kept up to date. At 0 nothing is read.',
      registers,
    }),
    viewersCut: new Counter({
      name: 'weir_console_viewers_cut_total',
      help: 'Pages that were cut off since they took nothing for 30 s.',
      registers,
    }),
  };
  for (const reading of READINGS)
    for (const outcome of ['done', 'failed']) metrics.reads.inc({ reading, outcome }, 0);
  return metrics;
}
