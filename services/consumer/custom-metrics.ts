import { emfLine } from '../shared/emf.ts';

/** What a batch, or a minute, came to. */
export interface Work {
  /** Records that are done with. */
  processed: number;
  /** Records that there were. */
  total: number;
  /** Records that failed or became dead letters. */
  errors: number;
  /** How long a batch took, in ms. */
  ms: number;
}

/**
 * The original design's CloudWatch metrics, by the names in `cdk8s/environments/names.ts`, as a line of the embedded
 * metric format.
 *
 * @param at ms since the epoch.
 */
export function customMetricsLine(
  stream: string,
  at: number,
  { processed, total, errors, ms }: Work,
): string {
  return emfLine('KinesisECRML', at, [
    {
      dimensions: { StreamName: stream },
      metrics: { ProcessedRecords: { unit: 'Count', value: processed } },
    },
    {
      dimensions: {},
      metrics: {
        ProcessingLatency: { unit: 'Milliseconds', value: Math.round(ms * 1000) / 1000 },
        ErrorRate: { unit: 'Percent', value: total === 0 ? 0 : Math.min(100, (errors / total) * 100) },
      },
    },
  ]);
}
