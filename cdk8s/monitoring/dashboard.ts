import type { Environment } from '../environments/schema.ts';
import { LONGEST, objectivesOf } from './objectives.ts';

type Unit = 's' | 'percentunit' | 'short' | 'reqps' | 'bytes' | 'ms';

interface Query {
  expr: string;
  legend: string;
}
interface PanelSpec {
  title: string;
  description: string;
  unit: Unit;
  queries: Query[];
  kind?: 'timeseries' | 'stat';
  /** Of 24 columns. */
  width?: number;
}

const HEIGHT = 7;
const STAT_HEIGHT = 4;
const SOURCE = { type: 'prometheus', uid: '$datasource' };

const quantiles = (metric: string): Query[] =>
  [0.5, 0.99].map((q) => ({
    expr: `histogram_quantile(${q}, sum by (le) (rate(${metric}_bucket[$__rate_interval])))`,
    legend: `p${q * 100}`,
  }));
const rate = (metric: string, by: string, filter = ''): Query => ({
  expr: `sum by (${by}) (rate(${metric}${filter}[$__rate_interval]))`,
  legend: `{{${by}}}`,
});
const plain = (metric: string, legend: string): Query => ({ expr: metric, legend });

/** The rows: what an engineer on call asks, in the order of the flow. */
function rowsOf(env: Environment): [string, PanelSpec[]][] {
  const budgets = objectivesOf(env).map(
    ({ name, title, target }): PanelSpec => ({
      title,
      description: 'Share of the error budget of 30 days that is left; below zero the objective is missed.',
      unit: 'percentunit',
      kind: 'stat',
      width: 8,
      queries: [
        { expr: `1 - weir:${name}_errors:ratio_${LONGEST} / ${(1 - target).toPrecision(3)}`, legend: 'left' },
      ],
    }),
  );
  return [
    ['Objectives', budgets],
    ['Producer', PRODUCER],
    ['Consumer', CONSUMER],
    ...(env.consumers.pods ? SCALING : []),
  ];
}

const PRODUCER: PanelSpec[] = [
  {
    title: 'Events posted',
    description: 'By outcome: stored, or the code of the problem that was answered.',
    unit: 'reqps',
    queries: [rate('weir_producer_events_total', 'outcome')],
  },
  {
    title: 'Answer time',
    description: 'From the last byte of a request to its answer.',
    unit: 's',
    queries: quantiles('weir_producer_request_seconds'),
  },
  {
    title: 'Attempts that failed',
    description: 'Events that a PutRecords call did not store, by reason; they are tried again.',
    unit: 'reqps',
    queries: [rate('weir_producer_record_failures_total', 'reason')],
  },
  {
    title: 'Waiting',
    description: 'The event that waits longest for a call.',
    unit: 's',
    queries: [plain('max(weir_producer_oldest_waiting_seconds)', 'oldest')],
  },
];

const CONSUMER: PanelSpec[] = [
  {
    title: 'Records done with',
    description: 'By outcome; dead letters are kept, with their bytes and the reason.',
    unit: 'reqps',
    queries: [rate('weir_consumer_records_total', 'outcome')],
  },
  {
    title: 'End to end',
    description: "From the producer's acceptance to the stored result.",
    unit: 's',
    queries: quantiles('weir_consumer_end_to_end_seconds'),
  },
  {
    title: 'Behind the tip',
    description: 'By shard, as its owner sees it.',
    unit: 'ms',
    queries: [plain('max by (shard) (weir_consumer_millis_behind_latest)', '{{shard}}')],
  },
  {
    title: 'Anomalies',
    description: 'Verdicts of the detector that decides.',
    unit: 'reqps',
    queries: [rate('weir_consumer_verdicts_total', 'detector', '{role="champion",verdict="anomaly"}')],
  },
  {
    title: 'Writes made again',
    description: 'BatchWriteItem calls, by reason. Throttled: the table is at its limit.',
    unit: 'reqps',
    queries: [rate('weir_consumer_write_retries_total', 'reason')],
  },
  {
    title: 'Shards held',
    description: 'By pod.',
    unit: 'short',
    queries: [plain('sum by (pod) (weir_consumer_leases_held)', '{{pod}}')],
  },
];

const SCALING: [string, PanelSpec[]][] = [
  [
    'Scaling',
    [
      {
        title: 'Lag',
        description: 'Of the furthest shard, as the controller reads it. A gap: it is not known.',
        unit: 's',
        queries: [plain('weir_scaler_lag_seconds', '{{scaler}}')],
      },
      {
        title: 'Rates',
        description: 'What arrives, what is processed, and what holds the objective.',
        unit: 'reqps',
        queries: [
          plain('weir_scaler_arrival_records_per_second', '{{scaler}} arrives'),
          plain('weir_scaler_processed_records_per_second', '{{scaler}} processed'),
          plain('weir_scaler_required_records_per_second', '{{scaler}} required'),
        ],
      },
      {
        title: 'Replicas',
        description: 'What is asked of the target, and what holds the objective.',
        unit: 'short',
        queries: [
          plain('weir_scaler_replicas_current', '{{scaler}} current'),
          plain('weir_scaler_replicas_desired', '{{scaler}} desired'),
        ],
      },
      {
        title: 'Shards',
        description: 'Open ones, what holds the objective, and the reshard calls of 24 h (AWS gives 10).',
        unit: 'short',
        queries: [
          plain('weir_scaler_shards_open', '{{scaler}} open'),
          plain('weir_scaler_shards_desired', '{{scaler}} desired'),
          plain('weir_scaler_reshard_calls_used', '{{scaler}} calls used'),
        ],
      },
      {
        title: 'Decisions',
        description: 'By what they are about and why.',
        unit: 'reqps',
        width: 24,
        queries: [
          {
            expr: 'sum by (subject, reason) (increase(weir_scaler_decisions_total[$__rate_interval]))',
            legend: '{{subject}}: {{reason}}',
          },
        ],
      },
    ],
  ],
];

/** The dashboard of an environment, as Grafana 10 and newer import it. */
export function dashboard(env: Environment): object {
  const panels: object[] = [];
  let y = 0;
  for (const [title, specs] of rowsOf(env)) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { h: 1, w: 24, x: 0, y },
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const spec of specs) {
      const width = spec.width ?? 12;
      height = spec.kind === 'stat' ? STAT_HEIGHT : HEIGHT;
      if (x + width > 24) {
        x = 0;
        y += height;
      }
      panels.push(panel(spec, panels.length + 1, { h: height, w: width, x, y }));
      x += width;
    }
    y += height;
  }
  return {
    uid: `weir-${env.name}`,
    title: `Weir ${env.name}`,
    description: 'Generated by `npm run synth` from cdk8s/monitoring: change it there.',
    tags: ['weir'],
    schemaVersion: 39,
    editable: false,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [{ name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Prometheus', hide: 0 }],
    },
    panels,
  };
}

function panel(
  { title, description, unit, queries, kind = 'timeseries' }: PanelSpec,
  id: number,
  gridPos: object,
) {
  return {
    id,
    type: kind,
    title,
    description,
    gridPos,
    datasource: SOURCE,
    fieldConfig: { defaults: { unit, ...(kind === 'stat' ? {} : { min: 0 }) }, overrides: [] },
    targets: queries.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: SOURCE,
      expr,
      legendFormat: legend,
    })),
  };
}
