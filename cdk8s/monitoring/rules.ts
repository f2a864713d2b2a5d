import type { Environment } from '../environments/schema.ts';
import { LONGEST, type Objective, objectivesOf, WINDOWS } from './objectives.ts';

interface RecordingRule {
  record: string;
  expr: string;
}
export interface AlertRule {
  alert: string;
  expr: string;
  for?: string;
  labels: { severity: 'page' | 'ticket'; window?: string };
  annotations: { summary: string; description: string; runbook_url: string };
}
export interface RuleGroup {
  name: string;
  interval: string;
  rules: (RecordingRule | AlertRule)[];
}

/** The page of an alert in `docs/runbooks/`, by its name. Alerts of one cause share a page with CloudWatch's alarm. */
const RUNBOOKS: Readonly<Record<string, string>> = {
  WeirAvailabilityBudgetBurn: 'availability',
  WeirLatencyBudgetBurn: 'latency',
  WeirLagBudgetBurn: 'lag',
  WeirDeadLetters: 'dead-letters',
  WeirNobodyReads: 'nobody-reads',
  WeirHashRangeHoles: 'hash-range-holes',
  WeirStreamThrottles: 'write-throttles',
  WeirTableThrottles: 'dynamodb-throttles',
  WeirScalerNotReady: 'scaler-not-ready',
  WeirScalerBlind: 'scaler-blind',
  WeirReshardBudgetUsed: 'reshard-budget',
  WeirNoLeader: 'no-leader',
};

/** The rules of an environment: error budgets of the objectives, and what a look at a budget would show too late. */
export function ruleGroups(env: Environment): RuleGroup[] {
  const alert = alertOf(env);
  const objectives = objectivesOf(env);
  return [
    ...objectives.map((objective) => ({
      name: `weir-${objective.name}`,
      interval: '30s',
      rules: [...recordings(objective), ...burnAlerts(objective, alert)],
    })),
    // A month is a lot to read, and moves slowly.
    {
      name: 'weir-budgets',
      interval: '5m',
      rules: objectives.map((objective) => recording(objective, LONGEST)),
    },
    { name: 'weir', interval: '30s', rules: causes(env, alert) },
  ];
}

type Alert = (
  name: string,
  rule: {
    expr: string;
    for?: string;
    severity?: 'page' | 'ticket';
    /** Tells alerts of one name apart. */
    window?: string;
    summary: string;
    description: string;
  },
) => AlertRule;

const alertOf =
  (env: Environment): Alert =>
  (name, { expr, for: duration, severity = 'ticket', window, summary, description }) => ({
    alert: name,
    expr,
    ...(duration === undefined ? {} : { for: duration }),
    labels: { severity, ...(window === undefined ? {} : { window }) },
    annotations: {
      summary,
      description,
      runbook_url: `https://github.com/${env.github.repository}/blob/main/docs/runbooks/${RUNBOOKS[name]}.md`,
    },
  });

const recorded = ({ name }: Objective, window: string) => `weir:${name}_errors:ratio_${window}`;

const recording = (objective: Objective, window: string): RecordingRule => ({
  record: recorded(objective, window),
  expr: objective.errorRatio(window),
});

function recordings(objective: Objective): RecordingRule[] {
  const windows = [...new Set(WINDOWS.flatMap(({ long, short }) => [short, long]))];
  return [
    ...(objective.base ? [objective.base] : []),
    ...windows.map((window) => recording(objective, window)),
  ];
}

/**
 * Multi-window, multi-burn-rate alerts: the long window says that it matters, the short one that it still goes on.
 * Source: "Alerting on SLOs", The Site Reliability Workbook, chapter 5, table 5-8.
 */
function burnAlerts(objective: Objective, alert: Alert): AlertRule[] {
  const { target, title, says } = objective;
  const budget = (1 - target).toPrecision(3);
  return WINDOWS.map(({ long, short, factor, severity }) =>
    alert(objective.alert, {
      expr: `${recorded(objective, long)} > ${factor} * ${budget} and ${recorded(objective, short)} > ${factor} * ${budget}`,
      severity,
      window: long,
      summary: `${title}: the error budget of 30 days burns ${factor} times too fast.`,
      description: `${says} {{ $value | humanizePercentage }} over ${long}, while ${(1 - target) * 100} % are allowed.`,
    }),
  );
}

function causes(env: Environment, alert: Alert): AlertRule[] {
  return [
    alert('WeirStreamThrottles', {
      expr: 'sum(rate(weir_producer_record_failures_total{reason="throttled"}[5m])) / sum(rate(weir_producer_events_total[5m])) > 0.01',
      for: '5m',
      summary: 'Kinesis refuses more than 1 % of the records at first.',
      description: 'A shard is at its limit of 1 MiB or 1,000 records a second; the producer tries again.',
    }),
    alert('WeirDeadLetters', {
      expr: 'sum(increase(weir_consumer_records_total{outcome="dead_letter"}[10m])) > 0',
      summary: 'Records could not be processed.',
      description: '{{ $value | humanize }} records became dead letters within 10 minutes.',
    }),
    alert('WeirTableThrottles', {
      expr: 'sum(rate(weir_consumer_write_retries_total{reason=~"throttled|unprocessed"}[5m])) > 0.1',
      for: '10m',
      summary: 'DynamoDB throttles the consumer.',
      description:
        'Results wait and the lag grows: {{ $value | humanize }} calls a second have to be made again.',
    }),
    ...(env.consumers.pods ? podCauses(alert) : []),
  ];
}

/** Where pods consume and the controller scales. */
function podCauses(alert: Alert): AlertRule[] {
  return [
    alert('WeirNobodyReads', {
      expr: '(sum(weir_consumer_leases_held) or vector(0)) == 0',
      for: '5m',
      severity: 'page',
      summary: 'No pod of the consumer holds a shard.',
      description: 'Events are accepted and wait in the stream; they are lost when its retention is over.',
    }),
    alert('WeirHashRangeHoles', {
      expr: 'max(weir_consumer_hash_range_holes) > 0 or max(weir_consumer_unlisted_leases) > 0 or max(increase(weir_consumer_shard_listing_failures_total[10m])) > 5',
      for: '2m',
      severity: 'page',
      summary: 'Leases and shards do not fit each other.',
      description:
        '{{ $value }} ranges of hash keys have no lease and are not read by anybody, or so many unfinished leases have no shard, or the shards could not be listed so often: the log of the consumer says which.',
    }),
    alert('WeirScalerNotReady', {
      expr: 'weir_scaler_ready == 0',
      for: '15m',
      summary: 'A StreamScaler does not do its work.',
      description: 'StreamScaler {{ $labels.namespace }}/{{ $labels.scaler }}: its condition Ready says why.',
    }),
    alert('WeirScalerBlind', {
      expr: 'weir_scaler_ready unless on (namespace, scaler) weir_scaler_lag_seconds',
      for: '10m',
      summary: 'The lag of a group is not known.',
      description:
        'StreamScaler {{ $labels.namespace }}/{{ $labels.scaler }} stays where it is: it never scales in while it is blind.',
    }),
    alert('WeirReshardBudgetUsed', {
      expr: 'weir_scaler_reshard_calls_used >= 9',
      for: '5m',
      summary: 'The reshard calls of 24 hours are nearly used up.',
      description:
        'StreamScaler {{ $labels.namespace }}/{{ $labels.scaler }} has used {{ $value }} of the 10 that AWS gives.',
    }),
    alert('WeirNoLeader', {
      expr: '(sum(leader_election_master_status) or vector(0)) < 1',
      for: '5m',
      summary: 'No controller is the leader.',
      description: 'Nothing is scaled, neither up nor down; events flow on with what is there.',
    }),
  ];
}
