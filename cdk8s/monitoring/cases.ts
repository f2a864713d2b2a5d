/** Made-up series, and which alert must fire on them or must not. Values in promtool's notation, a sample a minute. */
export interface AlertCase {
  alert: string;
  says: string;
  series: Readonly<Record<string, string>>;
  /** Minutes after the first sample. */
  at: number;
  fires: boolean;
  severity?: 'page' | 'ticket';
}

const SCALER = '{namespace="weir",scaler="consumer"}';
const posted = (stored: number, failed: number, outcome = 'internal') => ({
  'weir_producer_events_total{outcome="stored"}': `0+${stored}x90`,
  [`weir_producer_events_total{outcome="${outcome}"}`]: `0+${failed}x90`,
});
const answered = (fast: number, all: number) => ({
  'weir_producer_request_seconds_bucket{le="0.1"}': `0+${fast}x90`,
  weir_producer_request_seconds_count: `0+${all}x90`,
});
const lag = (values: string) => ({ [`weir_scaler_lag_seconds${SCALER}`]: values });
const alive = `1x90`;

const both = (
  alert: string,
  rows: readonly [
    fires: boolean,
    says: string,
    series: Readonly<Record<string, string>>,
    at?: number,
    severity?: 'page' | 'ticket',
  ][],
): AlertCase[] =>
  rows.map(([fires, says, series, at = 80, severity]) => ({
    alert,
    says,
    series,
    at,
    fires,
    ...(severity ? { severity } : {}),
  }));

export const CASES: readonly AlertCase[] = [
  ...both('WeirAvailabilityBudgetBurn', [
    [true, '2 % fail for an hour', posted(980, 20), 80, 'page'],
    [false, '0.05 % fail', posted(99_950, 50), 80, 'ticket'],
    [false, '0.3 % fail: no reason to wake anybody', posted(997, 3), 80, 'page'],
    [true, '0.3 % fail: the budget is gone in ten days', posted(997, 3), 80, 'ticket'],
    [
      false,
      'half of what comes breaks the schema: not our fault',
      posted(500, 500, 'event-invalid'),
      80,
      'ticket',
    ],
    [true, 'shards take no more', posted(900, 100, 'throttled'), 80, 'page'],
    [false, 'nothing is posted', posted(0, 0), 80, 'ticket'],
    [
      false,
      'it was bad and is over',
      {
        'weir_producer_events_total{outcome="stored"}': '0+900x60 54900+1000x40',
        'weir_producer_events_total{outcome="internal"}': '0+100x60 6000+0x40',
      },
      96,
      'page',
    ],
  ]),
  ...both('WeirLatencyBudgetBurn', [
    [true, 'a fifth is slower than 100 ms', answered(800, 1_000), 80, 'page'],
    [false, 'one in 200 is slower', answered(995, 1_000), 80, 'ticket'],
    [true, 'one in 50 is slower', answered(980, 1_000), 80, 'ticket'],
    [false, 'one in 50 is slower: no reason to wake anybody', answered(980, 1_000), 80, 'page'],
  ]),
  ...both('WeirLagBudgetBurn', [
    [true, 'two minutes behind for an hour', lag('120x90'), 80, 'page'],
    [false, 'half a minute behind', lag('30x90'), 80, 'ticket'],
    [false, 'behind for three minutes', lag('30x60 120x2 30x30'), 80, 'page'],
    [false, 'not known', {}, 80, 'ticket'],
  ]),
  ...both('WeirStreamThrottles', [
    [
      true,
      'a tenth is refused at first',
      { 'weir_producer_record_failures_total{reason="throttled"}': '0+100x90', ...posted(1_000, 0) },
    ],
    [
      false,
      'one in a thousand',
      { 'weir_producer_record_failures_total{reason="throttled"}': '0+1x90', ...posted(1_000, 0) },
    ],
    [
      false,
      'for another reason',
      { 'weir_producer_record_failures_total{reason="unavailable"}': '0+100x90', ...posted(1_000, 0) },
    ],
  ]),
  ...both('WeirDeadLetters', [
    [true, 'one', { 'weir_consumer_records_total{outcome="dead_letter"}': '0x75 1x15' }],
    [false, 'none', { 'weir_consumer_records_total{outcome="dead_letter"}': '0x90' }],
    [false, 'long ago', { 'weir_consumer_records_total{outcome="dead_letter"}': '0x5 1x90' }],
  ]),
  ...both('WeirTableThrottles', [
    [true, 'for an hour', { 'weir_consumer_write_retries_total{reason="throttled"}': '0+60x90' }],
    [false, 'now and then', { 'weir_consumer_write_retries_total{reason="throttled"}': '0x50 5x40' }],
  ]),
  ...both('WeirNobodyReads', [
    [true, 'there is no pod', {}],
    [true, 'no pod holds a shard', { 'weir_consumer_leases_held{pod="a"}': '0x90' }],
    [
      false,
      'one holds all',
      { 'weir_consumer_leases_held{pod="a"}': '2x90', 'weir_consumer_leases_held{pod="b"}': '0x90' },
    ],
    [false, 'a minute of a rollout', { 'weir_consumer_leases_held{pod="a"}': '2x77 0x1 2x10' }],
  ]),
  ...both('WeirHashRangeHoles', [
    [true, 'one', { 'weir_consumer_hash_range_holes{pod="a"}': '1x90' }],
    [true, 'a lease without a shard', { 'weir_consumer_unlisted_leases{pod="a"}': '1x90' }],
    [
      true,
      'shards that can not be listed',
      { 'weir_consumer_shard_listing_failures_total{pod="a"}': '0+3x90' },
    ],
    [
      false,
      'a listing that failed twice',
      { 'weir_consumer_shard_listing_failures_total{pod="a"}': '0x80 2x10' },
    ],
    [
      false,
      'none',
      {
        'weir_consumer_hash_range_holes{pod="a"}': '0x90',
        'weir_consumer_unlisted_leases{pod="a"}': '0x90',
      },
    ],
  ]),
  ...both('WeirScalerNotReady', [
    [true, 'for long', { [`weir_scaler_ready${SCALER}`]: '0x90' }],
    [false, 'since a few minutes', { [`weir_scaler_ready${SCALER}`]: '1x75 0x15' }],
    [false, 'ready', { [`weir_scaler_ready${SCALER}`]: alive }],
  ]),
  ...both('WeirScalerBlind', [
    [true, 'no lag is told', { [`weir_scaler_ready${SCALER}`]: alive }],
    [false, 'a lag is told', { [`weir_scaler_ready${SCALER}`]: alive, ...lag('0x90') }],
  ]),
  ...both('WeirReshardBudgetUsed', [
    [true, '9 of 10', { [`weir_scaler_reshard_calls_used${SCALER}`]: '9x90' }],
    [false, '8 of 10', { [`weir_scaler_reshard_calls_used${SCALER}`]: '8x90' }],
  ]),
  ...both('WeirNoLeader', [
    [true, 'there is no controller', {}],
    [
      true,
      'two wait',
      { 'leader_election_master_status{pod="a"}': '0x90', 'leader_election_master_status{pod="b"}': '0x90' },
    ],
    [
      false,
      'one leads',
      { 'leader_election_master_status{pod="a"}': '1x90', 'leader_election_master_status{pod="b"}': '0x90' },
    ],
    [false, 'a change of the leader', { 'leader_election_master_status{pod="a"}': '1x76 0x1 1x10' }],
  ]),
];
