import { readFileSync } from 'node:fs';
import { describe, expect, inject, it } from 'vitest';
import { MUTANTS, mutated } from './mutants.ts';
import { runSeed } from './run.ts';
import { SCENARIO_NAMES } from './scenarios.ts';
import { scheduleOf } from './schedule.ts';

/** At once; each waits for most of its time. */
const PARALLEL = 4;
const SEEDS = [1, 2, 3, 4, 5];

const dynamodb = inject('dynamodbEndpoint');

describe('what consumers leave behind, whatever befalls them, is what an offline replay of the stream gives', () => {
  it('in one process, by random schedules', { timeout: 150_000 }, async () => {
    const seeds = [...SEEDS];
    const failed: unknown[] = [];
    const lane = async () => {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
        const result = await runSeed({ seed, level: 'in-process', dynamodb });
        expect(result.records).toBeGreaterThan(0);
        if (result.wrong.length + result.unfinished.length > 0) failed.push(result);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, lane));
    expect(failed).toEqual([]);
  });

  it.each(SCENARIO_NAMES)('when %s', { timeout: 120_000 }, async (scenario) => {
    const result = await runSeed({ seed: 1, level: 'in-process', scenario, dynamodb });
    expect(result).toMatchObject({ wrong: [], unfinished: [] });
  });

  it('as processes that are killed, stopped and continued', { timeout: 120_000 }, async () => {
    const result = await runSeed({ seed: 1, level: 'processes', dynamodb });
    expect(result).toMatchObject({ wrong: [], unfinished: [] });
  });

  it('by schedules that hold every kind of step', () => {
    const seeds = Array.from({ length: 20 }, (_, seed) => scheduleOf(seed));
    const steps = seeds.flatMap((schedule) => schedule.steps.map(({ does }) => does));
    const kinds = [
      'put',
      'start',
      'kill',
      'stop',
      'freeze',
      'split',
      'merge',
      'faults',
      'jump',
      'wait',
      'lose-ends',
    ];
    const rarer = ['expire-iterators', 'redrive', 'break-subscriptions', 'freeze-at', 'kill-at-checkpoint'];
    expect(new Set(steps)).toEqual(new Set([...kinds, ...rarer]));
    expect(new Set(seeds.map(({ config }) => config.fetch))).toEqual(new Set(['polling', 'fanout']));
    expect(scheduleOf(7)).toEqual(scheduleOf(7));
  });

  it('and the faults that are put in on purpose to try the suite still fit the code', () => {
    for (const edit of MUTANTS.flatMap(({ edits }) => edits)) {
      expect(() => mutated(readFileSync(`services/consumer/${edit.file}`, 'utf8'), edit)).not.toThrow();
    }
  });
});
