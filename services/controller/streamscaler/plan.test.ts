import { describe, expect, it } from 'vitest';
import type { StreamScaler, StreamScalerStatus } from '../../../cdk8s/crd/stream-scaler.ts';
import { noteBudgetSpent, noteOutcome } from '../scaling/ledger.ts';
import { HASH_KEYS, type Observation } from '../scaling/observation.ts';
import { memoryOf, memoryStatus, planFor } from './plan.ts';

const START = Date.UTC(2026, 0, 1);

/** As the API server hands it out. */
const SPEC: StreamScaler['spec'] = {
  stream: { name: 'anomaly-stream' },
  consumer: { leaseTable: 'leases' },
  scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'consumer' },
  replicas: { min: 1, max: 10 },
  shards: { min: 1, max: 10 },
  objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
  mode: 'Full',
  behavior: { reshard: { scaleDownWindowSeconds: 3_600, reservedCalls: 4 } },
};

/** It was looked at before: then more shards were asked for too. */
const SEEN: StreamScalerStatus = { memory: { growthSince: START - 15_000 } };

/** One shard that is full, read by one pod that is too slow. */
function observe(at: number, lagSeconds: number | undefined, more: Partial<Observation> = {}): Observation {
  return {
    at,
    target: { replicas: 1, ready: 1 },
    stream: {
      status: 'ACTIVE',
      provisioned: true,
      throttled: undefined,
      shards: [0n, 1n].map((i) => ({
        shardId: `shardId-${i}`,
        open: true,
        startable: true,
        hashKeyRange: {
          starting: ((HASH_KEYS * i) / 2n).toString(),
          ending: ((HASH_KEYS * (i + 1n)) / 2n - 1n).toString(),
        },
        lagSeconds,
        owner: 'pod',
        arrival: { records: 970, bytes: 300_000 },
        processed: { records: 600, bytes: 180_000 },
        busyShare: 0.5,
      })),
    },
    problems: [],
    ...more,
  };
}

describe('plan', () => {
  it('gives actions, status, conditions and events of one decision', () => {
    const plan = planFor({ observation: observe(START, 600), spec: SPEC, paused: false, status: SEEN });
    expect(plan.actions).toEqual([
      { kind: 'scale', from: 1, to: 2 },
      { kind: 'update-shard-count', target: 4 },
    ]);
    expect(plan.status).toMatchObject({
      lag: { maxSeconds: 600, p50Seconds: 600, shards: 2, unknownShards: 0, undrainedParents: 0 },
      rates: { arrivalRecordsPerSecond: 1_940, processedRecordsPerSecond: 1_200, podRecordsPerSecond: 1_200 },
      replicas: { current: 1, desired: 2 },
      shards: { open: 2, desired: 4 },
      reshardBudget: {
        used: 1,
        calls: [{ operation: 'UpdateShardCount', from: 2, to: 4, outcome: 'Pending' }],
      },
      lastDecision: { time: '2026-01-01T00:00:00.000Z', action: 'Reshard' },
    });
    expect(plan.conditions.find(({ type }) => type === 'Ready')).toMatchObject({ status: 'True' });
    expect(plan.events.map(({ reason }) => reason)).toEqual(['ScaledOut', 'Resharded']);
  });

  it('does the same after a crash between writing the status and acting, with one entry in the ledger', () => {
    const first = planFor({ observation: observe(START, 600), spec: SPEC, paused: false, status: SEEN });
    const status = JSON.parse(JSON.stringify(first.status)) as StreamScalerStatus;
    const second = planFor({ observation: observe(START + 15_000, 610), spec: SPEC, paused: false, status });
    expect(second.actions).toEqual(first.actions);
    expect(second.status.reshardBudget).toEqual(first.status.reshardBudget);
  });

  it('takes in what AWS answered', () => {
    const { status } = planFor({
      observation: observe(START, 600),
      spec: SPEC,
      paused: false,
      status: SEEN,
    });
    const accepted = memoryStatus(noteOutcome(memoryOf(status, START), 'Accepted'), START);
    expect(accepted.reshardBudget).toMatchObject({ used: 1, calls: [{ outcome: 'Accepted' }] });
    const spent = memoryStatus(noteBudgetSpent(memoryOf(status, START), START), START);
    expect(spent.reshardBudget).toMatchObject({ used: 0, calls: [{ outcome: 'Refused' }] });
    const next = planFor({
      observation: observe(START + 15_000, 600),
      spec: SPEC,
      paused: false,
      status: spent,
    });
    expect(next.actions.map(({ kind }) => kind)).toEqual(['scale', 'split-shard']);
  });

  it('does nothing when paused, in Recommend, or blind, and says so', () => {
    const paused = planFor({ observation: observe(START, 600), spec: SPEC, paused: true, status: SEEN });
    expect(paused.actions).toEqual([]);
    expect(paused.status.reshardBudget?.calls).toEqual([]);
    expect(paused.conditions).toContainEqual(
      expect.objectContaining({ type: 'ScalingActive', reason: 'Paused' }),
    );
    const blind = observe(START, undefined, {
      target: undefined,
      stream: undefined,
      problems: ['DescribeStreamSummary was denied'],
    });
    const plan = planFor({ observation: blind, spec: SPEC, paused: false, status: paused.status });
    expect(plan.actions).toEqual([]);
    expect(plan.conditions[0]).toMatchObject({ type: 'Ready', status: 'False', reason: 'NoData' });
    expect(plan.conditions[0]?.message).toContain('DescribeStreamSummary was denied');
    expect(plan.events).toMatchObject([{ type: 'Warning', reason: 'NoData' }]);
    expect(plan.status).not.toHaveProperty('lag');
  });

  it('keeps the time of a decision that only has other numbers in it', () => {
    const first = planFor({ observation: observe(START, 600), spec: SPEC, paused: true, status: SEEN });
    const second = planFor({
      observation: observe(START + 15_000, 615),
      spec: SPEC,
      paused: true,
      status: first.status,
    });
    expect(second.status.lastDecision).toEqual(first.status.lastDecision);
  });
});
