import type { Environment } from '../environments/schema.ts';
import { FAILED_OUTCOMES } from './outcomes.ts';

/** What is promised, and how much of it was not kept over a time. */
export interface Objective {
  name: 'availability' | 'latency' | 'lag';
  alert: string;
  title: string;
  /** Before the share that failed. */
  says: string;
  /** Share that has to be good over 30 days, 0-1. */
  target: number;
  /** A series that the ratio is taken of, where there is none to begin with. */
  base?: { record: string; expr: string };
  /** PromQL of the share that was bad over a window, 0-1; nothing where there was nothing to be good or bad. */
  errorRatio: (window: string) => string;
}

/** Burn rates that alert: 2 % of 30 days' budget in an hour, 5 % in six, 10 % in three days. */
export const WINDOWS = [
  { long: '1h', short: '5m', factor: 14.4, severity: 'page' },
  { long: '6h', short: '30m', factor: 6, severity: 'page' },
  { long: '3d', short: '6h', factor: 1, severity: 'ticket' },
] as const;
/** Window of the figures on the dashboard. */
export const LONGEST = '30d';

/** An answer is fast within this, in seconds: a bucket of the producer's histogram. */
export const FAST_SECONDS = 0.1;

/** The objectives of an environment. */
export function objectivesOf(env: Environment): Objective[] {
  const { pods } = env.consumers;
  const failed = FAILED_OUTCOMES.join('|');
  return [
    {
      name: 'availability',
      alert: 'WeirAvailabilityBudgetBurn',
      title: 'Availability 99.9 %',
      says: 'Share of posted events that we could not take:',
      target: 0.999,
      errorRatio: (window) =>
        `sum(rate(weir_producer_events_total{outcome=~"${failed}"}[${window}])) / sum(rate(weir_producer_events_total[${window}]))`,
    },
    {
      name: 'latency',
      alert: 'WeirLatencyBudgetBurn',
      title: 'Latency: 99 % answered within 100 ms',
      says: 'Share of requests answered later than in 100 ms:',
      target: 0.99,
      errorRatio: (window) =>
        `1 - sum(rate(weir_producer_request_seconds_bucket{le="${FAST_SECONDS}"}[${window}])) / sum(rate(weir_producer_request_seconds_count[${window}]))`,
    },
    ...(pods
      ? [
          {
            name: 'lag' as const,
            alert: 'WeirLagBudgetBurn',
            title: `Lag: within ${pods.objective.maxLagSeconds} s for 99 % of the time`,
            says: 'Share of the time in which the group was further behind:',
            target: 0.99,
            base: {
              record: 'weir:lag_exceeded',
              expr: `max(weir_scaler_lag_seconds > bool ${pods.objective.maxLagSeconds})`,
            },
            errorRatio: (window: string) => `avg_over_time(weir:lag_exceeded[${window}])`,
          },
        ]
      : []),
  ];
}
