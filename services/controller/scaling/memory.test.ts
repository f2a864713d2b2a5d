import { describe, expect, it } from 'vitest';
import { DAY, decideOn, LEARNED, START } from './fixtures.ts';
import { emptyMemory, parseMemory } from './memory.ts';

describe('memory', () => {
  it('survives JSON, and forgets only what is not usable', () => {
    const { memory } = decideOn({ shards: 4, arrival: 3_500, replicas: 4, busy: 0.875 }, LEARNED);
    expect(parseMemory(JSON.parse(JSON.stringify(memory)), START)).toEqual(memory);
    const broken = parseMemory({ ...memory, podRate: 'fast', ledger: 'lost' }, START);
    expect(broken).toMatchObject({
      ledger: [],
      budgetSpentUntil: START + DAY,
      shardPeaks: memory.shardPeaks,
    });
    expect(broken.podRate).toBeUndefined();
    expect(parseMemory(undefined, START)).toEqual(emptyMemory());
    expect(parseMemory('nonsense', START).budgetSpentUntil).toBe(START + DAY);
  });
});
