import { describe, expect, it } from 'vitest';
import {
  type BatchDecision,
  type BatchState,
  decide,
  MAX_CALL_BYTES,
  MAX_CALL_RECORDS,
  MAX_RECORD_BYTES,
  MAX_SHARD_BYTES,
} from './policy.ts';

const LIMITS = { lingerMs: 5, maxInFlightCalls: 4 };
const ONE_IN_FLIGHT: BatchState = {
  sendableRecords: 1,
  sendableBytes: 100,
  fullestShardBytes: 100,
  oldestAgeMs: 0,
  inFlightCalls: 1,
  draining: false,
};

describe('when a call leaves', () => {
  it.each<[string, Partial<BatchState>, BatchDecision]>([
    ['nothing to send', { sendableRecords: 0, sendableBytes: 0, inFlightCalls: 0 }, { action: 'idle' }],
    ['nothing in flight', { inFlightCalls: 0 }, { action: 'send' }],
    ['a call in flight', {}, { action: 'wait', ms: 5 }],
    ['part of the linger over', { oldestAgeMs: 3 }, { action: 'wait', ms: 2 }],
    ['the linger over', { oldestAgeMs: 5 }, { action: 'send' }],
    ['a call full of records', { sendableRecords: MAX_CALL_RECORDS }, { action: 'send' }],
    ['one record short of full', { sendableRecords: MAX_CALL_RECORDS - 1 }, { action: 'wait', ms: 5 }],
    ['a call full of bytes', { sendableBytes: MAX_CALL_BYTES }, { action: 'send' }],
    ['a shard full of bytes', { fullestShardBytes: MAX_SHARD_BYTES }, { action: 'send' }],
    ['a stop', { draining: true }, { action: 'send' }],
    ['all calls in flight', { inFlightCalls: 4, oldestAgeMs: 99, draining: true }, { action: 'idle' }],
  ])('%s', (_, state, decision) => {
    expect(decide({ ...ONE_IN_FLIGHT, ...state }, LIMITS, 'off')).toEqual(decision);
  });

  it('knows the limits of the API', () => {
    expect([MAX_CALL_RECORDS, MAX_CALL_BYTES, MAX_RECORD_BYTES]).toEqual([500, 5_242_880, 1_048_576]);
  });

  it('does not call 500 events full when they share records', () => {
    const state = { ...ONE_IN_FLIGHT, sendableRecords: MAX_CALL_RECORDS };
    expect(decide(state, LIMITS, 'off')).toEqual({ action: 'send' });
    expect(decide(state, LIMITS, 'shard')).toEqual({ action: 'wait', ms: 5 });
  });
});
