import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { createRegistry } from '../../shared/metrics.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { chainDetector } from '../pipeline/fixtures.ts';
import type { StateLayout } from './source-state.ts';
import { SourceState } from './source-state.ts';
import { ByteBudget, StateCache } from './state-cache.ts';
import type { StateStore } from './state-store.ts';

const LAYOUT: StateLayout = { detectors: [chainDetector()], dedupeWindow: 0, rollups: false };
/** Of a series whose name has two characters. */
const STATE_BYTES = new SourceState('00', LAYOUT, undefined, () => {}).bytes;
const { signal } = new AbortController();
const names = (from: number, count: number) =>
  new Set(Array.from({ length: count }, (_, i) => String(from + i).padStart(2, '0')));

let budget: ByteBudget;
let metrics: ReturnType<typeof createConsumerMetrics>;
let loaded: string[];
let saved: string[];
/** Answers for the table of states: whether a write is kept. */
let keeps: (series: string) => boolean;

beforeEach(() => {
  metrics = createConsumerMetrics(createRegistry('test'));
  budget = new ByteBudget(10 * STATE_BYTES, metrics.stateBytes);
  loaded = [];
  saved = [];
  keeps = () => true;
});

function cache(): StateCache {
  const store = {
    load: async (series: string[]) => {
      loaded.push(...series);
      return new Map();
    },
    save: async ({ series }: SourceState) => {
      saved.push(series);
      return keeps(series);
    },
  } as unknown as StateStore;
  const log = pino({ level: 'silent' });
  return new StateCache({ store, layout: LAYOUT, active: () => true, budget, log, metrics });
}

/** A slice: meets series, changes them if `dirty`, and makes room. */
async function slice(of: StateCache, series: Set<string>, dirty = true): Promise<void> {
  await of.begin(series, signal, () => {});
  for (const key of series) of.get(key).dirty = dirty;
  await of.makeRoom(signal, () => {});
}

const evictions = async () => (await metrics.stateEvictions.get()).values[0]?.value ?? 0;
const gauge = async () => (await metrics.stateBytes.get()).values[0]?.value;

describe('the states in memory', () => {
  it('stay within their budget, however many series come, and are written before they go', async () => {
    const states = cache();
    for (let from = 0; from < 80; from += 4) {
      await slice(states, names(from, 4));
      expect(budget.used).toBeLessThanOrEqual(budget.max);
      expect(budget.used).toBe(states.bytes);
    }
    const left = budget.used / STATE_BYTES;
    expect(await evictions()).toBe(80 - left);
    expect(await gauge()).toBe(budget.used);
    // The ones that were met longest ago, each once.
    expect(saved.sort()).toEqual([...names(0, 80 - left)]);
  });

  it('are let go of by when they were last met, a little more than needed, and loaded again', async () => {
    const states = cache();
    await slice(states, names(0, 10));
    await slice(states, names(0, 2));
    await slice(states, names(10, 1));
    // To 9 of the 10 that there is room for.
    expect(await evictions()).toBe(2);
    expect(saved).toEqual(['02', '03']);
    loaded.length = 0;
    await slice(states, new Set(['00', '01', '02']));
    expect(loaded).toEqual(['02']);
  });

  it('stay for the slice in hand, even if that alone is more than the budget', async () => {
    const states = cache();
    await slice(states, names(0, 15));
    expect(states.bytes).toBe(15 * STATE_BYTES);
    expect(saved).toEqual([]);
    await slice(states, names(20, 1));
    expect(states.bytes).toBeLessThanOrEqual(budget.max);
  });

  it('of a shard that fell silent make room for those of a busy one', async () => {
    const silent = cache();
    const busy = cache();
    await slice(silent, names(0, 9), false);
    await slice(silent, names(50, 1), false);
    for (let from = 60; from < 64; from++) await slice(busy, names(from, 1));
    expect(silent.bytes).toBeLessThan(9 * STATE_BYTES);
    expect(busy.bytes).toBe(4 * STATE_BYTES);
    expect(budget.used).toBeLessThanOrEqual(budget.max);
    expect(saved).toEqual([]);
    silent.close();
    busy.close();
    expect(budget.used).toBe(0);
  });

  it('are dropped, and not counted twice, when another worker stored a later one', async () => {
    const states = cache();
    keeps = (series) => series !== '00';
    await slice(states, names(0, 10));
    await slice(states, names(10, 2));
    expect(budget.used).toBe(states.bytes);
    expect(states.bytes).toBe(9 * STATE_BYTES);
  });
});
