/** A value of a metric, with its unit as CloudWatch names it. */
interface EmfMetric {
  unit: 'Count' | 'Milliseconds' | 'Percent';
  value: number;
}

/** Metrics that share their dimensions. */
interface EmfGroup {
  dimensions: Readonly<Record<string, string>>;
  metrics: Readonly<Record<string, EmfMetric>>;
}

/**
 * One line of CloudWatch's embedded metric format: written to a log group, it becomes metrics without a call.
 * Source: "Specification: Embedded metric format", Amazon CloudWatch user guide.
 *
 * @param at ms since the epoch.
 * @param groups no two with a metric or a dimension of the same name.
 */
export function emfLine(namespace: string, at: number, groups: readonly EmfGroup[]): string {
  const values: Record<string, string | number> = {};
  for (const { dimensions, metrics } of groups) {
    Object.assign(values, dimensions);
    for (const [name, { value }] of Object.entries(metrics)) values[name] = value;
  }
  return JSON.stringify({
    _aws: {
      Timestamp: at,
      CloudWatchMetrics: groups.map(({ dimensions, metrics }) => ({
        Namespace: namespace,
        Dimensions: [Object.keys(dimensions)],
        Metrics: Object.entries(metrics).map(([Name, { unit }]) => ({ Name, Unit: unit })),
      })),
    },
    ...values,
  });
}
