import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import { GroupView } from './group-view.ts';

const LEASE_MS = 10_000;

const lease = (leaseCounter: number, leaseOwner: string | undefined, change: Partial<Lease> = {}): Lease => ({
  leaseKey: 's0',
  leaseOwner,
  leaseCounter,
  checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
  ownerSwitchesSinceCheckpoint: 0,
  parentShardIds: [],
  childShardIds: [],
  hashKeyRange: undefined,
  startedAt: undefined,
  workerAddress: undefined,
  tenure: 't',
  report: undefined,
  ...change,
});

function setUp() {
  const view = new GroupView(LEASE_MS, 1_500);
  const see = (at: number, one: Lease, tookMs = 0) => {
    const { free, leftOver, members } = view.observe({ leases: [one], idle: [] }, at, at + tookMs);
    return { free: free.has(one), leftOver: leftOver.has(one), members };
  };
  return { view, see };
}

describe('GroupView', () => {
  it('takes a lease for expired when its counter stood still for its time since it was first seen there', () => {
    const { see } = setUp();
    expect(see(0, lease(5, 'w1')).free).toBe(false);
    expect(see(9_999, lease(5, 'w1')).free).toBe(false);
    expect(see(10_000, lease(5, 'w1')).free).toBe(true);
    expect(see(11_400, lease(5, 'w1')).leftOver).toBe(false);
    expect(see(11_500, lease(5, 'w1')).leftOver).toBe(true);
    expect(see(11_600, lease(6, 'w1')).free).toBe(false);
    expect(see(21_599, lease(6, 'w1')).free).toBe(false);
  });

  it('counts from the end of a reading that took long: the write that it shows may be as young', () => {
    const { see } = setUp();
    see(0, lease(5, 'w1'), 7_000);
    expect(see(16_999, lease(5, 'w1'), 7_000).free).toBe(false);
    expect(see(17_000, lease(5, 'w1')).free).toBe(true);
  });

  it('takes a lease that nobody holds for free, and for left over after a while', () => {
    const { see } = setUp();
    expect(see(0, lease(5, undefined), 50)).toMatchObject({ free: true, leftOver: false });
    expect(see(1_550, lease(5, undefined))).toMatchObject({ free: true, leftOver: true });
  });

  it('holds a worker for alive once it saw it do something, not by what it found at its start', () => {
    const { see } = setUp();
    expect(see(0, lease(5, 'w1')).members.get('w1')?.proven).toBe(false);
    expect(see(1_000, lease(6, 'w1')).members.get('w1')?.proven).toBe(true);
    // Another wrote w2's name there: that is no sign of life of w2.
    const given = lease(7, 'w2', { tenure: undefined });
    expect(see(2_000, given).members.get('w2')?.proven).toBe(false);
    expect(see(3_000, lease(8, 'w2')).members.get('w2')?.proven).toBe(true);
  });

  it('doubts who did not answer until it does something again', () => {
    const { view, see } = setUp();
    see(0, lease(5, 'w1'));
    see(1_000, lease(6, 'w1'));
    view.doubt('w1');
    expect(see(2_000, lease(6, 'w1')).members.get('w1')?.proven).toBe(false);
    expect(see(3_000, lease(7, 'w1')).members.get('w1')?.proven).toBe(true);
  });
});
