import { describe, expect, it } from 'vitest';
import { bucketsOf, parseMetrics, quantileOf, sumOf } from '../../services/shared/prometheus.ts';
import { type Evidence, type Item, verify } from './verify.ts';

const EVENTS = [
  { source: 'a', amount: 50, timestamp: 't1', kept: 'x' },
  { source: 'b', amount: 300, timestamp: 't2', kept: 'y' },
  { source: 'a', amount: 150, timestamp: 't3', kept: 'z' },
];

function evidence(change: (items: (Item & { kinesis_metadata: Item })[]) => void = () => {}): Evidence {
  const items = EVENTS.map(({ source, amount, timestamp, kept }, i) => ({
    id: `id-${i}`,
    source,
    amount,
    timestamp,
    anomaly_score: [0.5, 2, 1.5][i],
    is_anomaly: amount > 100,
    kinesis_metadata: { sequence_number: String(100 + i) } as Item,
    payload: { kept, source_ip: '::1', ingestion_timestamp: 'now' },
  }));
  change(items);
  const receipts = EVENTS.map((_, i) => ({ requestId: `id-${i}`, sequenceNumber: String(100 + i) }));
  return { events: EVENTS, receipts, items, deadLetters: 0, threshold: 100 };
}

describe('the check of the records table', () => {
  it('passes what is right', () => {
    expect(verify(evidence())).toEqual({
      ok: true,
      stored: 3,
      anomalies: 2,
      expectedAnomalies: 2,
      anomaliesBySource: [
        { source: 'a', anomalies: 1 },
        { source: 'b', anomalies: 1 },
      ],
      problems: [],
    });
  });

  it.each<[string, Evidence]>([
    ['lost', evidence((items) => void items.splice(1, 1))],
    ['nobody sent it', evidence((items) => void items.push({ ...items[0]!, id: 'other' }))],
    ['stored more than once', evidence((items) => void items.push({ ...items[0]! }))],
    ['scored wrongly', evidence((items) => void Object.assign(items[0]!, { anomaly_score: 0.6 }))],
    ['scored wrongly', evidence((items) => void Object.assign(items[0]!, { is_anomaly: true }))],
    ['changed on its way', evidence((items) => void Object.assign(items[0]!, { payload: { kept: 'w' } }))],
    ['changed on its way', evidence((items) => void Object.assign(items[0]!, { source: 'c' }))],
    [
      'out of order',
      evidence((items) => void Object.assign(items[2]!.kinesis_metadata, { sequence_number: '99' })),
    ],
    ['dead letters', { ...evidence(), deadLetters: 1 }],
    ['not sent', { ...evidence(), receipts: evidence().receipts.slice(0, 2) }],
  ])('finds what is %s', (problem, broken) => {
    const verdict = verify(broken);
    expect(verdict.ok).toBe(false);
    expect(verdict.problems.join('\n')).toContain(problem);
  });
});

describe('Prometheus text', () => {
  const samples = parseMetrics(
    [
      '# HELP x a metric',
      'x_total{outcome="stored",note="a\\"b\\n"} 3',
      'x_total{outcome="dead"} 2',
      'h_bucket{le="0.1"} 50',
      'h_bucket{le="0.2"} 90',
      'h_bucket{le="+Inf"} 100',
      'up 1',
    ].join('\n'),
  );

  it('is summed by label', () => {
    expect(sumOf(samples, 'x_total')).toBe(5);
    expect(sumOf(samples, 'x_total', { outcome: 'stored', note: 'a"b\n' })).toBe(3);
    expect(sumOf(samples, 'nothing')).toBe(0);
  });

  it('has quantiles', () => {
    expect(quantileOf(bucketsOf(samples, 'h'), 0.5)).toBeCloseTo(0.1);
    expect(quantileOf(bucketsOf(samples, 'h'), 0.7)).toBeCloseTo(0.15);
    expect(quantileOf(bucketsOf(samples, 'h'), 0.99)).toBe(0.2);
    expect(quantileOf([], 0.5)).toBeUndefined();
  });
});
