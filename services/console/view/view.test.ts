import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { History } from './history.ts';
import { RateWindow } from './rates.ts';
import { Scaling } from './scaling.ts';
import { viewShards } from './shards.ts';
import { Totals } from './totals.ts';
import { verdict } from './verdict.ts';

const NOW = 1_700_000_000_000;
const HALF = 1n << 127n;

function shard(shardId: string, parentShardIds: string[] = [], open = true, half?: 0 | 1): ShardInfo {
  const [starting, ending] =
    half === undefined ? [0n, 2n * HALF - 1n] : [BigInt(half) * HALF, BigInt(half + 1) * HALF - 1n];
  return {
    shardId,
    parentShardIds,
    open,
    hashKeyRange: { starting: String(starting), ending: String(ending) },
  };
}

function lease(
  leaseKey: string,
  millisBehindLatest: number | undefined,
  more: Partial<Lease> = {},
): [string, Lease] {
  const report = {
    reportedAt: NOW - 1_000,
    millisBehindLatest,
    recordsPerSecond: 10,
    bytesPerSecond: 100,
    busyShare: 0.5,
    lastArrivalAt: NOW,
  };
  return [
    leaseKey,
    {
      leaseKey,
      leaseOwner: 'w',
      leaseCounter: 1,
      checkpoint: { sequenceNumber: '1', subSequenceNumber: 0 },
      ownerSwitchesSinceCheckpoint: 0,
      parentShardIds: [],
      childShardIds: [],
      hashKeyRange: undefined,
      startedAt: undefined,
      workerAddress: undefined,
      tenure: undefined,
      report,
      ...more,
    },
  ];
}

describe('the sum of counters', () => {
  it('counts what processes do while they are seen, through restarts and departures', () => {
    const totals = new Totals();
    totals.take('a', { n: 100 });
    totals.take('b', { n: 5 });
    totals.take('a', { n: 130 });
    totals.take('b', { n: 2 }); // began anew
    totals.keep(new Set(['b']));
    totals.take('a', { n: 50 }); // came back: what it did meanwhile nobody saw
    totals.take('b', { n: 3, m: 4 });
    expect(totals.sum()).toEqual({ n: 30 + 2 + 1, m: 4 });
  });
});

describe('rates', () => {
  it('are not known before half a second, and then of the last 5 s', () => {
    const window = new RateWindow();
    window.add(0, { in: 0 });
    window.add(100, { in: 50 });
    expect(window.rates().inPerSecond).toBeUndefined();
    for (let s = 1; s <= 20; s++) window.add(s * 1_000, { in: s < 10 ? 0 : (s - 10) * 7 });
    expect(window.rates().inPerSecond).toBeCloseTo(7);
    expect(window.rates().scoredPerSecond).toBeUndefined();
  });

  it('have quantiles of what was observed in the last 10 s, not of all times', () => {
    const window = new RateWindow();
    window.add(0, { 'le:0.1': 0, 'le:1': 0, 'le:Infinity': 0 });
    window.add(30_000, { 'le:0.1': 1_000, 'le:1': 1_000, 'le:Infinity': 1_000 });
    window.add(40_000, { 'le:0.1': 1_000, 'le:1': 1_100, 'le:Infinity': 1_100 });
    expect(window.rates().p50Ms).toBeCloseTo(550);
    window.add(51_000, { 'le:0.1': 1_000, 'le:1': 1_100, 'le:Infinity': 1_100 });
    expect(window.rates().p50Ms).toBeUndefined();
  });
});

describe('shards', () => {
  const split = [shard('p', [], false), shard('l', ['p'], true, 0), shard('r', ['p'], true, 1)];

  it('lie where their hash keys are, parents above their children', () => {
    const leases = new Map([lease('p', 2_000)]);
    const view = viewShards(split, leases, NOW);
    expect(view.shards.map(({ shardId, state, generation }) => [shardId, state, generation])).toEqual([
      ['p', 'draining', 0],
      ['l', 'waiting', 1],
      ['r', 'waiting', 1],
    ]);
    expect(view.shards.map(({ range }) => [range.from, range.share])).toEqual([
      [0, 1],
      [0, 0.5],
      [0.5, 0.5],
    ]);
    expect(view).toMatchObject({
      open: 2,
      unfinished: 3,
      workers: ['w'],
      worst: { shardId: 'p', lagMs: 2_000 },
      unknownLag: 0,
    });
  });

  it('are finished, silent or unowned; a report that is old tells nothing', () => {
    const end = { checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 } };
    const [, old] = lease('l', 5);
    const leases = new Map([
      lease('p', 0, end),
      lease('l', 5, { report: { ...old.report!, reportedAt: NOW - 60_000 } }),
      lease('r', 5, { leaseOwner: undefined }),
    ]);
    const view = viewShards(split, leases, NOW);
    expect(Object.fromEntries(view.shards.map(({ shardId, state }) => [shardId, state]))).toEqual({
      p: 'finished',
      l: 'silent',
      r: 'unowned',
    });
    expect(view).toMatchObject({ worst: undefined, unknownLag: 2, workers: [], recordsPerSecond: undefined });
  });

  it('survive a listing with a cycle and ranges that are no numbers', () => {
    const odd = [shard('a', ['b']), { ...shard('b', ['a']), hashKeyRange: { starting: 'x', ending: '' } }];
    expect(viewShards(odd, new Map(), NOW).shards).toHaveLength(2);
  });

  it('are told in a sentence, the worst first', () => {
    const one = [shard('shardId-000000000007')];
    const say = (lag: number | undefined, more: Partial<Lease> = {}, maxLagMs?: number) =>
      verdict(viewShards(one, new Map([lease('shardId-000000000007', lag, more)]), NOW), maxLagMs);
    expect(verdict(undefined).level).toBe('unknown');
    expect(say(3)).toMatchObject({ level: 'ok', title: 'Keeping up' });
    expect(say(20_000)).toMatchObject({
      level: 'warn',
      detail: expect.stringContaining('20 s behind on shard 7'),
    });
    expect(say(61_000)).toMatchObject({ level: 'bad', title: 'Behind' });
    expect(say(61_000, {}, 300_000).level).toBe('ok');
    expect(say(undefined)).toMatchObject({ level: 'warn', title: 'Lag not known' });
    expect(say(3, { report: undefined })).toMatchObject({ level: 'warn', title: 'Silent shards' });
    expect(say(3, { leaseOwner: undefined })).toMatchObject({ level: 'bad', title: 'Not all is read' });
  });
});

describe('the history', () => {
  it('is 15 minutes at most, with gaps where nobody looked', () => {
    const history = new History();
    for (let s = 0; s < 2_000; s++) history.add({ at: NOW + s * 1_000, lagMs: s });
    expect(history.columns().at).toHaveLength(900);
    history.add({ at: NOW + 5_000_000, lagMs: 1 });
    expect(history.columns().lagMs.slice(-3)).toEqual([1_999, null, 1]);
  });
});

describe('scaling', () => {
  it('keeps the decisions that it saw, one line each, and tells the budget that is left', () => {
    const scaling = new Scaling();
    const see = (time: string, action: string, reason: string) =>
      scaling.view({
        spec: {},
        status: { lastDecision: { time, action, reason }, reshardBudget: { used: 12, calls: [] } },
      });
    see('t1', 'Hold', 'a');
    see('t1', 'Hold', 'b');
    const view = see('t2', 'ScaleUp', 'c');
    expect(view.decisions).toEqual([
      { time: 't2', action: 'ScaleUp', reason: 'c' },
      { time: 't1', action: 'Hold', reason: 'b' },
    ]);
    expect(view.reshardBudget).toEqual({ used: 12, left: 0, of: 10 });
    for (let i = 3; i < 100; i++) see(`t${i}`, 'Hold', '');
    expect(see('t100', 'Hold', '').decisions).toHaveLength(30);
  });
});
