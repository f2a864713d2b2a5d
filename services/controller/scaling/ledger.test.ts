import { describe, expect, it } from 'vitest';
import { DAY, decideOn, LEARNED, START, TICK } from './fixtures.ts';
import { usedCalls } from './ledger.ts';
import { emptyMemory, type ReshardCall } from './memory.ts';

const call = (at: number, outcome: ReshardCall['outcome'] = 'Accepted'): ReshardCall => ({
  at,
  operation: 'UpdateShardCount',
  from: 2,
  to: 4,
  outcome,
});

describe('the ledger of reshard calls', () => {
  it('counts what AWS counts, for a little longer than a day', () => {
    const used = (...ledger: ReshardCall[]) => usedCalls({ ...emptyMemory(), ledger }, START);
    expect(used(call(START - 1), call(START - 2, 'Pending'), call(START - 3, 'Unknown'))).toBe(3);
    expect(used(call(START - 1, 'Refused'))).toBe(0);
    expect(used({ ...call(START - 1), operation: 'SplitShard' })).toBe(0);
    expect(used(call(START - DAY - 30_000))).toBe(1);
    expect(used(call(START - DAY - 61_000))).toBe(0);
  });

  it("takes the shards of a change under way for nobody else's call", () => {
    const { memory } = decideOn({ shards: 4 }, { ...LEARNED, ledger: [call(START - DAY / 2)] });
    const half = decideOn({ at: START + TICK, shards: 5, status: 'UPDATING' }, memory);
    expect(half.memory).toMatchObject({ openShards: 4, ledger: [{ outcome: 'Accepted' }] });
    const back = decideOn({ at: START + 2 * TICK, shards: 4 }, half.memory);
    expect(usedCalls(back.memory, START)).toBe(1);
  });

  it('starts the window for going down anew when somebody else changed the shards', () => {
    const low = { ...LEARNED, openShards: 4, shardPeaks: [{ at: START - 60_000, value: 2 }] };
    const { memory, decision } = decideOn({ shards: 6, arrival: 100, busy: 0.1 }, low);
    expect(decision.shards.step).toBeUndefined();
    expect(memory.shardPeaks[0]).toEqual({ at: START, value: 6 });
  });
});
